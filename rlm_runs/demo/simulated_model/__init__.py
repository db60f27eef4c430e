"""The demo model: an OpenAI-compatible server that plays rule-based policies. A simulated model, no LLM.

It lets everything run with no key: over real HTTP, through the same client as any model, with tool calls,
usage, rate limits and refusals. It sees what a model sees, messages and tools, and nothing else.
"""
