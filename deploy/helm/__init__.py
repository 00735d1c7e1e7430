"""The Helm chart, and what of it is generated: `python -m deploy.helm` writes it.

Read `__main__.py` first. Beside the chart's own files it writes the PrometheusRule of
deploy/kustomize, since neither Helm nor kustomize can read deploy/prometheus/alerts.yml.
"""
