"""Generated motion clips: scenes, people, objects, backgrounds and camera effects."""
