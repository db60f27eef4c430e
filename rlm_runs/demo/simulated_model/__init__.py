"""The demo model: an OpenAI-compatible server with rule-based policies. It is simulated and not an LLM.

It lets everything run without a key: over real HTTP, through the same client as any model, with tool calls, usage,
rate limits and refusals. It sees only what a model sees, messages and tools.
"""
