"""The commands of edge-tdn-export, one file each. A command imports torch only when it runs."""
