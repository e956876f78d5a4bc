//! Positions as dicts of plain values, which Python keeps in states and files.

use metricsieve_core::{
    CarriedContext, CarriedValue, ContextType, ContextValue, Counted, Envelope, Example, Origin, Position,
};
use pyo3::{
    IntoPyObjectExt,
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

/// What a context column carries: value, count of pending texts, line and text of their example.
type CarriedArg<'py> = (Option<Bound<'py, PyAny>>, u64, Option<(u64, String)>);
/// Job, host, stream and rank.
type OriginArg = (Option<String>, Option<String>, Option<String>, Option<i32>);

fn read_carried(value: CarriedArg<'_>, source: usize, kind: ContextType) -> PyResult<CarriedValue> {
    let (value, count, example) = value;
    let value = value.map(|value| {
        Ok::<_, PyErr>(match kind {
            ContextType::Int64 => ContextValue::Int64(value.extract()?),
            ContextType::Float64 => ContextValue::Float64(value.extract()?),
            ContextType::String => ContextValue::String(value.extract::<String>()?.into()),
        })
    });
    let example = example.map(|(line, text)| Example { source, line, text });
    Ok(CarriedValue { value: value.transpose()?, pending: Counted { count, example } })
}

fn write_carried<'py>(py: Python<'py>, carried: &CarriedValue) -> PyResult<Bound<'py, PyTuple>> {
    let value = match &carried.value {
        None => py.None().into_bound(py),
        Some(ContextValue::Int64(value)) => value.into_bound_py_any(py)?,
        Some(ContextValue::Float64(value)) => value.into_bound_py_any(py)?,
        Some(ContextValue::String(value)) => value.as_ref().into_bound_py_any(py)?,
    };
    let example = carried.pending.example.as_ref().map(|example| (example.line, &example.text));
    (value, carried.pending.count, example).into_pyobject(py)
}

/// A position of a source, of context columns of these kinds.
pub(crate) fn read_position(source: usize, dict: &Bound<'_, PyDict>, kinds: &[ContextType]) -> PyResult<Position> {
    fn item<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr>>(
        dict: &Bound<'py, PyDict>,
        name: &str,
    ) -> PyResult<T> {
        let found = dict.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("the position has no {name}")))?;
        found.extract().map_err(|error| PyValueError::new_err(format!("{name} of the position: {error}")))
    }
    let carried = dict
        .get_item("context")?
        .map_or_else(|| Ok(Vec::new()), |found| found.extract::<Vec<(OriginArg, Vec<CarriedArg>)>>());
    let carried = carried.map_err(|error| PyValueError::new_err(format!("context of the position: {error}")))?;
    if carried.iter().any(|(_, columns)| columns.len() != kinds.len()) {
        return Err(PyValueError::new_err("the position is of other context columns"));
    }
    let read = |((job, host, stream, rank), columns): (OriginArg, Vec<CarriedArg<'_>>)| {
        let name = |name: Option<String>| name.map(Into::into);
        let origin = Origin { job: name(job), host: name(host), stream: name(stream), rank };
        let columns = columns.into_iter().zip(kinds).map(|(value, kind)| read_carried(value, source, *kind));
        Ok(CarriedContext { origin, columns: columns.collect::<PyResult<_>>()? })
    };
    let envelope = dict.get_item("envelope")?.map_or(Ok(None), |name| name.extract::<Option<String>>())?;
    let mut position = Position::default();
    position.offset = item(dict, "offset")?;
    position.line = item(dict, "line")?;
    position.open_line = item(dict, "open_line")?;
    position.skipping = item(dict, "skipping")?;
    position.in_run = item(dict, "in_run")?;
    position.context = carried.into_iter().map(read).collect::<PyResult<_>>()?;
    // Of log streams it is one that users cannot name.
    let read = |name| Envelope::by_name(name).ok_or_else(|| PyValueError::new_err(format!("no envelope is {name:?}")));
    position.envelope = envelope.as_deref().map(read).transpose()?;
    match dict.get_item("event")? {
        None => Ok(position),
        Some(event) => {
            let event: String = event.extract()?;
            position.with_event(&event).ok_or_else(|| PyValueError::new_err("event of the position: it is none"))
        }
    }
}

/// A position as a dict.
pub(crate) fn write_position<'py>(py: Python<'py>, position: &Position) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("offset", position.offset)?;
    dict.set_item("line", position.line)?;
    dict.set_item("open_line", position.open_line)?;
    dict.set_item("skipping", position.skipping)?;
    dict.set_item("in_run", position.in_run)?;
    dict.set_item("envelope", position.envelope.map(Envelope::name))?;
    dict.set_item("event", position.event())?;
    let context = PyList::empty(py);
    for CarriedContext { origin: Origin { job, host, stream, rank }, columns } in &position.context {
        let columns = columns.iter().map(|carried| write_carried(py, carried)).collect::<PyResult<Vec<_>>>()?;
        context.append(((job.as_deref(), host.as_deref(), stream.as_deref(), rank), columns))?;
    }
    dict.set_item("context", context)?;
    Ok(dict)
}
