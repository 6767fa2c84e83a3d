"""What the systems `kidney` and `template` share: volumes on cubes, their masks, how masks are measured."""
