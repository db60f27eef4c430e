"""URLs for load balancers and monitoring: /healthz, /readyz and /metrics. None of them needs a login."""
