"""SageMaker jobs as sources: what describes them, and where their logs are.

Principal types: `TrainingJob` and `TuningJob`. `_urls` makes them of `sagemaker:JOB` and
`sagemaker-tuning:NAME`; `_jobs` asks them for their descriptions, which hold metric definitions.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from metricsieve.sources._aws import Service
from metricsieve.sources._remote import (
    Live,
    NotFoundError,
    Remote,
    RemoteSources,
    source_errors,
)
from metricsieve.sources._times import Time
from metricsieve.sources.cloudwatch_logs import CloudWatchLogs

_ENDED = ("Completed", "Failed", "Stopped", "Deleted")

# Where SageMaker writes what training jobs print; a stream is `JOB/algo-NUMBER-SECONDS`.
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class _Job(RemoteSources):
    """What both kinds of jobs have.

    Args:
        name: the job's name.
        start: only events from then on, as for `CloudWatchLogs`.
        end: only events before then.
        session: a `boto3.Session`; by default one of the environment.
        region_name: replaces the session's region.
        endpoint_url: replaces the usual address, of SageMaker and of CloudWatch Logs.
        profile_name: a profile of the AWS configuration.
    """

    spelling = ""
    kind = ""

    def __init__(
        self,
        name: str,
        *,
        start: Time | None = None,
        end: Time | None = None,
        session: Any = None,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        profile_name: str | None = None,
    ) -> None:
        if not name:
            raise ValueError(f"the name of the {self.kind} is empty")
        self.name = name
        self._client: dict[str, Any] = {
            "session": session,
            "region_name": region_name,
            "endpoint_url": endpoint_url,
            "profile_name": profile_name,
        }
        self._times: dict[str, Any] = {"start": start, "end": end}
        self._service = Service("sagemaker", **self._client)

    def __repr__(self) -> str:
        """The spelling on the command line."""
        return f"<{self.spelling}:{self.name}>"

    @property
    def place(self) -> str:
        """The spelling, and where the job is, as far as that was said."""
        return f"{self.spelling}:{self.name}{self._service.place}"

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            with source_errors():
                return self._service.call(operation, **parameters)
        except NotFoundError:
            text = f"no such {self.kind} in {self._service.region}; check its name and the region"
            raise FileNotFoundError(errno.ENOENT, text, f"{self.spelling}:{self.name}") from None

    def _logs(self, job: str) -> CloudWatchLogs:
        return CloudWatchLogs(LOG_GROUP, stream_prefix=f"{job}/", **self._times, **self._client)

    def _no_logs(self, status: str) -> FileNotFoundError:
        text = (
            f"the {self.kind} ({status}) has no log streams '{self.name}/...' in {LOG_GROUP}: it "
            "printed nothing yet, or the group's retention has deleted them"
        )
        return FileNotFoundError(errno.ENOENT, text, f"{self.spelling}:{self.name}")


class TrainingJob(_Job):
    """A training job."""

    spelling = "sagemaker"
    kind = "training job"

    def describe(self) -> dict[str, Any]:
        """What DescribeTrainingJob says.

        Raises:
            FileNotFoundError: there is no such job.
            SourceError: the service refuses or fails.
        """
        return self._call("describe_training_job", TrainingJobName=self.name)

    def logs(self) -> CloudWatchLogs:
        """The log streams of its hosts, which there need not be yet."""
        return self._logs(self.name)

    def find(self) -> Iterator[Remote]:
        """The log streams of its hosts, by name.

        Raises:
            FileNotFoundError: there is no such job, or no log of it.
            SourceError: a service refuses or fails.
        """
        try:
            yield from self.logs().find()
        except FileNotFoundError:
            status = self.describe().get("TrainingJobStatus", "unknown")
            raise self._no_logs(status) from None

    def live(self) -> tuple[list[Live], bool]:
        """Its logs, until it has ended.

        Raises:
            FileNotFoundError: there is no such job.
            SourceError: the service refuses or fails.
        """
        has_ended = self.describe().get("TrainingJobStatus") in _ENDED
        return [Live(self.name, self.logs(), has_ended)], has_ended


class TuningJob(_Job):
    """A hyperparameter tuning job: the logs of all its training jobs."""

    spelling = "sagemaker-tuning"
    kind = "tuning job"

    def describe(self) -> dict[str, Any]:
        """What DescribeHyperParameterTuningJob says.

        Raises:
            FileNotFoundError: there is no such job.
            SourceError: the service refuses or fails.
        """
        operation = "describe_hyper_parameter_tuning_job"
        return self._call(operation, HyperParameterTuningJobName=self.name)

    def training_jobs(self) -> Iterator[tuple[str, str]]:
        """The names and statuses of its training jobs, the oldest first.

        Raises:
            FileNotFoundError: there is no such job.
            SourceError: the service refuses or fails.
        """
        parameters: dict[str, Any] = {
            "HyperParameterTuningJobName": self.name,
            "MaxResults": 100,
            "SortBy": "CreationTime",
            "SortOrder": "Ascending",
        }
        while True:
            operation = "list_training_jobs_for_hyper_parameter_tuning_job"
            page = self._call(operation, **parameters)
            for job in page["TrainingJobSummaries"]:
                yield job["TrainingJobName"], job.get("TrainingJobStatus", "unknown")
            token = page.get("NextToken")
            if token is None or token == parameters.get("NextToken"):
                return
            parameters["NextToken"] = token

    def find(self) -> Iterator[Remote]:
        """The log streams of its training jobs, those of the oldest job first.

        A job without a log, as one that could not start, has no part in it.

        Raises:
            FileNotFoundError: there is no such job, or no log of any of its training jobs.
            SourceError: a service refuses or fails.
        """
        logs = self._logs(self.name)
        found = False
        for job, _ in self.training_jobs():
            try:
                for stream in logs.of(f"{job}/"):
                    found = True
                    yield stream
            except FileNotFoundError:
                continue
        if not found:
            raise self._no_logs(self.describe().get("HyperParameterTuningJobStatus", "unknown"))

    def live(self) -> tuple[list[Live], bool]:
        """The logs of its training jobs so far, and whether there will be no other job.

        Raises:
            FileNotFoundError: there is no such job.
            SourceError: the service refuses or fails.
        """
        # Asked first: a job that starts in between is then seen by the next look.
        has_ended = self.describe().get("HyperParameterTuningJobStatus") in _ENDED
        jobs = [
            Live(name, self._logs(name), status in _ENDED) for name, status in self.training_jobs()
        ]
        return jobs, has_ended and all(job.has_ended for job in jobs)
