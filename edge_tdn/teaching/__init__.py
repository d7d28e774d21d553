"""Record clips to learn an action from: cut from a live camera, into a folder of classes."""
