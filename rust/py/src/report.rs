//! The report as a dict, the rejects as a record batch.

use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use metricsieve_core::{
    ContextColumn, ContextReport, Counted, DefinitionReport, DefinitionSet, ESCAPE_NAMES, Example, Reject, Report,
    SourceReport,
};
use pyo3::{prelude::*, types::PyDict};

/// Text of a literal, shown in the report.
fn shown<'a>(literals: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    literals.map(|literal| String::from_utf8_lossy(literal).into_owned()).collect()
}

/// A report, with what tells its indices.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub report: &'a Report,
    pub definitions: &'a DefinitionSet,
    pub labels: &'a StringArray,
}

pub(crate) fn to_dict<'py>(py: Python<'py>, account: Account<'_>) -> PyResult<Bound<'py, PyDict>> {
    let Account { report, definitions: set, labels } = account;
    let dict = PyDict::new(py);
    dict.set_item("complete", report.is_complete() && report.sources_failed == 0)?;
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("events", report.events)?;
    dict.set_item("records", report.records)?;
    dict.set_item("matched", report.matched)?;
    dict.set_item("unmatched", report.unmatched())?;
    dict.set_item("candidates", report.candidates)?;
    let skipped = PyDict::new(py);
    for (reason, count) in [("too_long", report.too_long), ("cut_off", report.cut_off)] {
        if count > 0 {
            skipped.set_item(reason, count)?;
        }
    }
    dict.set_item("skipped", skipped)?;
    dict.set_item("elapsed_seconds", report.elapsed().as_secs_f64())?;
    dict.set_item("points", report.points())?;
    dict.set_item("rejects", report.rejected())?;
    let mut definitions = Vec::with_capacity(set.len());
    let each = set.definitions().iter().zip(set.patterns()).zip(&report.definitions).enumerate();
    for (index, ((definition, pattern), counts)) in each {
        let entry = definition_dict(py, counts, labels)?;
        entry.set_item("name", &definition.name)?;
        entry.set_item("regex", &definition.regex)?;
        entry.set_item("strategy", set.strategy(index))?;
        entry.set_item("literals", shown(pattern.searched_by(counts.searched_by)))?;
        definitions.push(entry);
    }
    dict.set_item("definitions", definitions)?;
    let columns = set.context().iter().zip(&report.context);
    let columns = columns.map(|(column, counts)| context_dict(py, column, counts, labels));
    dict.set_item("context", columns.collect::<PyResult<Vec<_>>>()?)?;
    let sources = PyDict::new(py);
    sources.set_item("total", report.sources_total)?;
    sources.set_item("complete", report.sources_complete)?;
    sources.set_item("failed", report.sources_failed)?;
    let entries = report.sources.iter().map(|source| source_dict(py, source, labels));
    sources.set_item("entries", entries.collect::<PyResult<Vec<_>>>()?)?;
    dict.set_item("sources", sources)?;
    Ok(dict)
}

fn definition_dict<'py>(
    py: Python<'py>,
    counts: &DefinitionReport,
    labels: &StringArray,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("candidates", counts.candidates)?;
    dict.set_item("cost_seconds", counts.cost.as_secs_f64())?;
    dict.set_item("points", counts.values.count())?;
    let (rejects, examples) = (PyDict::new(py), PyDict::new(py));
    for reason in Reject::ALL {
        let index = reason as usize;
        if counts.rejects[index] > 0 {
            rejects.set_item(reason.name(), counts.rejects[index])?;
            let shown = counts.reject_examples[index].iter().map(|example| example_dict(py, example, labels));
            examples.set_item(reason.name(), shown.collect::<PyResult<Vec<_>>>()?)?;
        }
    }
    dict.set_item("rejects", rejects)?;
    dict.set_item("reject_examples", examples)?;
    let trimmed = counted(py, &counts.trimmed, labels)?;
    trimmed.set_item("percent", counts.percent)?;
    dict.set_item("trimmed", trimmed)?;
    dict.set_item("truncated", counted(py, &counts.truncated, labels)?)?;
    dict.set_item("underflow", counted(py, &counts.underflow, labels)?)?;
    dict.set_item("over_budget", counted(py, &counts.over_budget, labels)?)?;
    dict.set_item("first", counts.values.first())?;
    dict.set_item("last", counts.values.last())?;
    dict.set_item("min", counts.values.min())?;
    dict.set_item("max", counts.values.max())?;
    dict.set_item("sources_with_points", counts.sources_with_points)?;
    let without: Vec<_> = counts.sources_without.iter().map(|source| labels.value(*source)).collect();
    dict.set_item("sources_without", without)?;
    Ok(dict)
}

fn context_dict<'py>(
    py: Python<'py>,
    column: &ContextColumn,
    counts: &ContextReport,
    labels: &StringArray,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &column.name)?;
    dict.set_item("type", column.kind.name())?;
    dict.set_item("regexes", &column.regexes)?;
    dict.set_item("values", counts.values)?;
    dict.set_item("rejects", counted(py, &counts.rejects, labels)?)?;
    Ok(dict)
}

fn counted<'py>(py: Python<'py>, counted: &Counted, labels: &StringArray) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("count", counted.count)?;
    let example = counted.example.as_ref().map(|example| example_dict(py, example, labels)).transpose()?;
    dict.set_item("example", example)?;
    Ok(dict)
}

fn example_dict<'py>(py: Python<'py>, example: &Example, labels: &StringArray) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("source", labels.value(example.source))?;
    dict.set_item("line", example.line)?;
    dict.set_item("text", &example.text)?;
    Ok(dict)
}

fn source_dict<'py>(py: Python<'py>, source: &SourceReport, labels: &StringArray) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("source", labels.value(source.source))?;
    dict.set_item("compression", source.compression)?;
    dict.set_item("encoding", source.encoding)?;
    dict.set_item("envelope", source.envelope)?;
    dict.set_item("foreign", source.foreign)?;
    dict.set_item("ambiguous_times", source.ambiguous_times)?;
    dict.set_item("bytes", source.bytes)?;
    dict.set_item("records", source.records)?;
    dict.set_item("points", source.points)?;
    let escapes = PyDict::new(py);
    for (name, count) in ESCAPE_NAMES.iter().zip(source.escapes) {
        escapes.set_item(name, count)?;
    }
    dict.set_item("escapes", escapes)?;
    dict.set_item("complete", source.error.is_none())?;
    dict.set_item("error", &source.error)?;
    dict.set_item("warning", &source.warning)?;
    Ok(dict)
}

/// The rejected texts: metric, text, reason, source, line, offset.
pub(crate) fn rejects(account: Account<'_>) -> RecordBatch {
    let Account { report, definitions, labels } = account;
    let (rows, names) = (&report.rejects, definitions.definitions());
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::UInt64, false);
    let schema = Schema::new(vec![
        text("metric", false),
        text("text", true),
        text("reason", false),
        text("source", false),
        number("line"),
        number("offset"),
    ]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &names[row.definition].name))),
            Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringArray>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.reason.name()))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| labels.value(row.source)))),
            Arc::new(rows.iter().map(|row| row.line).collect::<UInt64Array>()),
            Arc::new(rows.iter().map(|row| row.offset).collect::<UInt64Array>()),
        ],
    )
    .expect("the arrays are built for this schema")
}
