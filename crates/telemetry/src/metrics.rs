//! The metrics registry: made once by the program, filled by those who have something to count, read by `/metrics`.
//!
//! Metrics are structs beside the code that moves them, with a `register(&mut Registry)`.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

pub use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry as the text that Prometheus reads.
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail; a collector that does leaves the text cut short, which its reader reports.
    if prometheus_client::encoding::text::encode(&mut text, registry).is_err() {
        tracing::error!("a metrics collector failed");
    }
    text
}

/// Registers what every process shows about itself: memory, open files, the time it started.
pub fn register_process(registry: &mut Registry, started: clock::Timestamp) {
    registry.register_collector(Box::new(Process { started }));
}

#[derive(Debug)]
struct Process {
    started: clock::Timestamp,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let started = self.started.as_millisecond() as f64 / 1000.0;
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970", started)?;
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory_bytes", "Resident memory in bytes", bytes)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Open file descriptors", files.count() as f64)?;
        }
        Ok(())
    }
}

/// Resident memory as the kernel counts it.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_holds_what_was_registered() {
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        registry.register("things", "Things seen", counter.clone());
        register_process(&mut registry, clock::Timestamp::UNIX_EPOCH);
        counter.inc();
        let text = render(&registry);
        assert!(text.contains("things_total 1"), "{text}");
        assert!(text.contains("process_start_time_seconds 0"), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
