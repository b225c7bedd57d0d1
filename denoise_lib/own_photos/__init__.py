"""A photo of one's own, of any size, denoised; and the training of the network that does it."""
