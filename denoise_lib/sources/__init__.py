"""Where clean images come from: MNIST's digits, photos, and what downloads them. What is made of them stands in `data`."""
