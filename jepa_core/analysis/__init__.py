"""What stored scores say of whole sets of images: separation, agreement of encoders, maps, lists to drop."""
