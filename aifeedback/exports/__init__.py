"""Labels in the shapes that other trainers read: what a shape can't carry is refused, never cut."""
