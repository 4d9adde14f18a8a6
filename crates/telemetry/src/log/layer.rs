//! Collects an event's fields and those of the spans around it, and writes the line.

use std::{fmt, sync::Arc};

use clock::Clock;
use serde_json::Value;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Config, Extra, Format, line::Line, writer::Writer};
use crate::{field, redact};

/// The layer that writes lines.
pub(super) struct Lines {
    format: Format,
    extra: Vec<Extra>,
    components: &'static [(&'static str, &'static str)],
    clock: Clock,
    writer: Arc<Writer>,
}

impl Lines {
    pub(super) fn new(config: &Config, clock: Clock, writer: Arc<Writer>) -> Self {
        let (format, extra, components) = (config.format, config.extra.clone(), config.components);
        Self { format, extra, components, clock, writer }
    }

    /// The component that a crate is: its given name, or its own in capitals.
    fn component(&self, metadata: &Metadata<'_>) -> String {
        let krate = metadata.target().split("::").next().unwrap_or_default();
        match self.components.iter().find(|(name, _)| *name == krate) {
            Some((_, component)) => (*component).to_owned(),
            None => krate.to_ascii_uppercase(),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.inherit(outer);
            }
        }
        let component = fields.component.take().unwrap_or_else(|| self.component(event.metadata()));
        let line = Line {
            extra: &self.extra,
            time: self.clock.now(),
            level: *event.metadata().level(),
            component: &component,
            message: &fields.message,
            fields: &fields.others,
            caller: caller(event.metadata()),
        };
        self.writer.line(&line.render(self.format));
    }
}

/// `crate/file.rs:line`.
fn caller(metadata: &Metadata<'_>) -> Option<String> {
    let (file, line) = (metadata.file()?, metadata.line()?);
    let tail = file.rsplit_once("/src/").map_or(file, |(_, tail)| tail);
    let krate = metadata.target().split("::").next()?;
    Some(format!("{krate}/{tail}:{line}"))
}

/// What an event or a span carries.
#[derive(Default)]
struct Fields {
    message: String,
    component: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let value = match value {
            _ if redact::is_secret_field(name) => Value::from(redact::REDACTED),
            Value::String(text) => Value::String(redact::scrub(&text).into_owned()),
            other => other,
        };
        match (name, value) {
            ("message", Value::String(text)) => self.message = text,
            (field::COMPONENT, Value::String(text)) => self.component = Some(text),
            (name, value) => match self.others.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => self.others.push((name, value)),
            },
        }
    }

    /// Takes over a surrounding span's fields; the nearest one wins.
    fn inherit(&mut self, outer: &Fields) {
        if self.component.is_none() {
            self.component.clone_from(&outer.component);
        }
        for (name, value) in &outer.others {
            if self.others.iter().all(|(known, _)| known != name) {
                self.others.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    /// An error is shown with its whole chain of causes.
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.put(field, text.into());
    }
}
