//! The machine behind a figure, in one line.

use std::fmt;
use std::fs;

use anyhow::Context as _;

/// Processor, cores, kernel.
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    pub(crate) fn inspect() -> anyhow::Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("read the kernel's release")?;
        Ok(Self {
            processor: model(&processors).unwrap_or("unknown processor").to_owned(),
            cores: std::thread::available_parallelism()
                .context("count the processors")?
                .get(),
            kernel: kernel.trim().to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} cores, Linux {}",
            self.processor, self.cores, self.kernel
        )
    }
}

fn model(processors: &str) -> Option<&str> {
    let (_, name) = processors
        .lines()
        .find(|line| line.starts_with("model name"))?
        .split_once(':')?;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_by_its_model() {
        assert_eq!(
            model("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: AMD EPYC\n"),
            Some("AMD EPYC")
        );
        assert_eq!(model("processor\t: 0\n"), None);
    }
}
