"""Labels in, a better model out: the local trainer module, on TRL. Everything with tensors in it stays in this room."""
