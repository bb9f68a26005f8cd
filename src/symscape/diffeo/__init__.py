"""Maximum-entropy diffeomorphisms of images and relative stability (chapter 4)."""
