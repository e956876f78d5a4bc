"""Logs that are not local: object stores, HTTP, CloudWatch Logs, SageMaker jobs.

`_urls` says which spelling stands for what; each kind is a module with one `RemoteSources` class
and imports its library (obstore, boto3) where it first needs it. `_prefetch` fetches what they
find ahead of the engine. Nothing here knows of definitions or scans: `_jobs` brings
those of SageMaker jobs together with their logs.
"""
