"""What the pages share: state, widgets, the picture grid."""
