"""What a version says about itself: numbers for people, drawn in a terminal."""
