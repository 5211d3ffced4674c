"""What runs show without anything being put in: logits, attention, activations on texts, gradients."""
