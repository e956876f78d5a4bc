"""SageMaker jobs read as a whole: their own definitions on their own logs.

Principal functions: `from_training_job` and `from_tuning_job`. `sources.sagemaker` finds
descriptions and logs; the command line asks `job_definitions` for those of `sagemaker:JOB`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metricsieve._scan import Scan, scan
from metricsieve.definitions import DefinitionSet
from metricsieve.exceptions import DefinitionError, DefinitionProblem

if TYPE_CHECKING:
    from metricsieve.sources._times import Time
    from metricsieve.sources.sagemaker import TrainingJob, TuningJob

_HOLDERS = ("AlgorithmSpecification", "TrainingJobDefinition", "TrainingJobDefinitions")


def from_training_job(
    name: str,
    *,
    definitions: Any = None,
    start: Time | None = None,
    end: Time | None = None,
    session: Any = None,
    region_name: str | None = None,
    endpoint_url: str | None = None,
    profile_name: str | None = None,
    **options: Any,
) -> Scan:
    """Scan the logs of a SageMaker training job with its own metric definitions.

    Args:
        name: the job's name.
        definitions: used instead of the job's, as `scan` takes them.
        start: only log events from then on: a datetime, a timedelta before now, or text such as
            `"2026-11-25T10:00:00Z"` or `"2h"`.
        end: only log events before then.
        session: a `boto3.Session`; by default one of the environment.
        region_name: replaces the session's region.
        endpoint_url: replaces the usual address of SageMaker and of CloudWatch Logs.
        profile_name: a profile of the AWS configuration.
        options: those of `scan`.

    Returns:
        A scan with a source for each log stream, which is one host of the job; they are called
        `JOB/algo-NUMBER-SECONDS`.

    Raises:
        FileNotFoundError: there is no such job, or it has no logs.
        DefinitionError: the job has no definitions, or one that cannot be used.
        SourceError: a service refuses or fails.
        ImportError: boto3 is missing.

    Example:
        >>> from metricsieve import from_training_job
        >>> table = from_training_job("xgboost-2026-11-25").read_all()  # doctest: +SKIP
    """
    from metricsieve.sources.sagemaker import TrainingJob

    job = TrainingJob(
        name,
        start=start,
        end=end,
        session=session,
        region_name=region_name,
        endpoint_url=endpoint_url,
        profile_name=profile_name,
    )
    return _scan_job(job, definitions, options)


def from_tuning_job(
    name: str,
    *,
    definitions: Any = None,
    start: Time | None = None,
    end: Time | None = None,
    session: Any = None,
    region_name: str | None = None,
    endpoint_url: str | None = None,
    profile_name: str | None = None,
    **options: Any,
) -> Scan:
    """Scan the logs of all training jobs of a hyperparameter tuning job.

    Args:
        name: the tuning job's name.
        definitions: as for `from_training_job`, like all that follow.
        start: only log events from then on.
        end: only log events before then.
        session: a `boto3.Session`.
        region_name: replaces the session's region.
        endpoint_url: replaces the usual address.
        profile_name: a profile of the AWS configuration.
        options: those of `scan`.

    Returns:
        A scan with a source for each log stream, the oldest training job first.

    Raises:
        FileNotFoundError: there is no such job, or none of its training jobs has logs.
        DefinitionError: the job has no definitions, or one that cannot be used.
        SourceError: a service refuses or fails.
        ImportError: boto3 is missing.

    Example:
        >>> from metricsieve import from_tuning_job
        >>> table = from_tuning_job("tune-2026-11-25").read_all()  # doctest: +SKIP
    """
    from metricsieve.sources.sagemaker import TuningJob

    job = TuningJob(
        name,
        start=start,
        end=end,
        session=session,
        region_name=region_name,
        endpoint_url=endpoint_url,
        profile_name=profile_name,
    )
    return _scan_job(job, definitions, options)


def _scan_job(job: TrainingJob | TuningJob, definitions: Any, options: dict[str, Any]) -> Scan:
    return scan(job, _definitions(job) if definitions is None else definitions, **options)


def job_definitions(text: str) -> DefinitionSet:
    """The definitions of the job that `sagemaker:JOB` or `sagemaker-tuning:NAME` stands for.

    Raises:
        ValueError: an unknown part of the spelling.
        FileNotFoundError: there is no such job.
        DefinitionError: the job has none.
        SourceError: the service refuses or fails.
    """
    from metricsieve.sources._urls import job

    return _definitions(job(text))


def _definitions(job: TrainingJob | TuningJob) -> DefinitionSet:
    description = job.describe()
    has_some = any(key in description for key in _HOLDERS)
    found = DefinitionSet(description if has_some else [])
    if not len(found):
        message = f"the {job.kind} {job.name!r} has no metric definitions"
        hint = (
            "give some: definitions=..., or -d, -m or -p on the command line (-p auto tries those "
            "of 40 frameworks)"
        )
        raise DefinitionError([DefinitionProblem(message, hint=hint)])
    return found
