"""How datasets that are not bundled are named: "torchvision:SET/SPLIT" and "hub:OWNER/NAME/SPLIT?class=COLUMN"."""

TORCHVISION = "torchvision:"
HUB = "hub:"
PREFIXES = (TORCHVISION, HUB)
CLASS = "?class="  # between the name of a dataset of the hub and that of its column of classes
EXAMPLES = ("torchvision:mnist/test", "torchvision:cifar-10/test", "torchvision:svhn/test", "torchvision:dtd/test")
