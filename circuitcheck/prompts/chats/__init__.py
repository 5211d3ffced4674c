"""Prompts that are chats: messages, and what a model's chat template makes of them."""
