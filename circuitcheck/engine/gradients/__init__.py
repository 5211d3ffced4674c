"""What a backward pass says: how a readout changes with activations, and with the embeddings of a prompt's tokens."""
