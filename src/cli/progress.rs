//! Progress on standard error: notes and bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::experiment::Progress;
use crate::shown::shown;

/// Tells a person what is going on.
pub struct Console {
    started: Instant,
    terminal: bool,
    quiet: bool,
    multi: MultiProgress,
    bar: ProgressBar,
    seeding: Box<dyn crate::seed::Progress>,
}

impl Console {
    /// On standard error; `quiet` leaves out everything.
    pub fn new(quiet: bool) -> Console {
        let terminal = std::io::stderr().is_terminal();
        let multi = if quiet { MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) } else { MultiProgress::new() };
        let bar = multi.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let seeding: Box<dyn crate::seed::Progress> = if quiet { Box::new(crate::seed::Quiet) } else { Box::new(crate::seed::Bars::new()) };
        Console { started: Instant::now(), terminal, quiet, multi, bar, seeding }
    }

    /// Removes what is only of interest while it goes on.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        let _ = self.multi.clear();
    }
}

impl Progress for Console {
    fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        let seconds = self.started.elapsed().as_secs();
        let line = format!("[{:>2}:{:02}] {}", seconds / 60, seconds % 60, shown(text));
        match self.terminal {
            true => {
                let _ = self.multi.println(&line);
            }
            false => super::out::say(&line),
        }
    }

    fn pairs(&self, scenario: &str, kept: u32, wanted: u32) {
        if self.terminal {
            self.bar.set_message(format!("{}: {kept} of {wanted} pairs", shown(scenario)));
            self.bar.tick();
        }
    }

    fn bars(&self) -> &dyn crate::seed::Progress {
        &*self.seeding
    }
}
