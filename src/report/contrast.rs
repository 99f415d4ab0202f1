//! Two runs side by side as text for a terminal, and as JSON. Nothing is judged, and the text says so.

use serde::Serialize;

use super::format::{NOTHING, TimeUnit, factor, significant};
use super::lines::{letters, pad, shorten, wrapped};
use super::words::plural;
use crate::contrast::{Contrast, Fact, Row, ScenarioContrast, Two, Unit};
use crate::shown::plain;

/// Version of the JSON form. Raised when a reader of the former version would misread it.
pub const CONTRAST_JSON_VERSION: u32 = 2;

/// No terminal is served below this width; text is then wrapped by the terminal.
const NARROWEST: usize = 60;
const NOT_JUDGED: &str = "Nothing is judged here: two sessions differ in ways that neither of them can see, such as what else the machine did. \
                          To find out whether something became slower, duel both states in one run.";

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    judged: bool,
    contrast: &'a Contrast,
}

/// Both runs as JSON with a line end.
pub fn contrast_json(contrast: &Contrast) -> anyhow::Result<String> {
    let document = Document { format: "pgduel-contrast", version: CONTRAST_JSON_VERSION, judged: false, contrast };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// Both runs as text of at most `width` columns, with a line end. `names` says where they came from.
pub fn contrast_terminal(contrast: &Contrast, names: &Two<String>, width: usize) -> String {
    let mut page = Page { out: String::new(), width: width.max(NARROWEST) };
    page.paragraph("", NOT_JUDGED);
    page.line("");
    page.facts(contrast, names);
    page.reasons(&contrast.not_comparable);
    for scenario in &contrast.scenarios {
        page.scenario(scenario);
    }
    if !contrast.not_comparable.is_empty() || contrast.scenarios.iter().any(|one| !one.not_comparable.is_empty()) {
        page.line("");
        page.paragraph("", "What is not comparable has no ratio: it would say what differs between the runs, not what became faster.");
    }
    plain(&page.out)
}

struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn paragraph(&mut self, first: &str, text: &str) {
        let indent = letters(first);
        for (index, line) in wrapped(text, self.width.saturating_sub(indent)).iter().enumerate() {
            let start = if index == 0 { first.to_owned() } else { " ".repeat(indent) };
            self.line(&format!("{start}{line}"));
        }
    }

    /// What differs, in two columns; what both runs share, in one.
    fn facts(&mut self, contrast: &Contrast, names: &Two<String>) {
        let (same, differing): (Vec<&Fact>, Vec<&Fact>) = contrast.facts.iter().partition(|fact| fact.is_same());
        let label = contrast.facts.iter().map(|fact| letters(&fact.name)).max().unwrap_or(0);
        let room = self.width.saturating_sub(label + 4) / 2;
        let two = |page: &mut Page, name: &str, value: &Two<String>| {
            let (left, right) = (wrap_hard(&value.baseline, room), wrap_hard(&value.run, room));
            for index in 0..left.len().max(right.len()) {
                let cell = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
                let name = if index == 0 { name } else { "" };
                page.line(&format!("{}  {}  {}", pad(name, label, false), pad(&cell(&left), room, false), cell(&right)));
            }
        };
        two(self, "", &Two { baseline: "baseline".to_owned(), run: "run".to_owned() });
        two(self, "record", names);
        for fact in differing {
            two(self, &fact.name, &fact.value);
        }
        let settings = same.iter().filter(|fact| fact.setting).count();
        let mut same: Vec<String> = same
            .iter()
            .filter(|fact| !fact.setting && !fact.value.baseline.is_empty())
            .map(|fact| format!("{} {}", fact.name, fact.value.baseline))
            .collect();
        if settings > 0 {
            same.push(format!("{} of the server", plural(settings as u64, "setting")));
        }
        if !same.is_empty() {
            self.line("");
            self.paragraph("The same in both: ", &same.join(", "));
        }
    }

    fn reasons(&mut self, reasons: &[String]) {
        if !reasons.is_empty() {
            self.line("");
            self.line("Not comparable:");
        }
        for reason in reasons {
            self.paragraph("  ! ", reason);
        }
    }

    fn scenario(&mut self, scenario: &ScenarioContrast) {
        self.line("");
        let only = match (scenario.present.baseline, scenario.present.run) {
            (true, false) => "  only in the baseline",
            (false, true) => "  only in the run",
            _ => "",
        };
        self.line(&format!("{}{only}", scenario.scenario));
        for reason in &scenario.not_comparable {
            self.paragraph("  ! ", &format!("not comparable: {reason}"));
        }
        let cells: Vec<[String; 5]> = scenario.rows.iter().map(cells).collect();
        if cells.is_empty() {
            self.line("  nothing was measured");
            return;
        }
        // Without ratios, their column has no name either.
        let last = if cells.iter().any(|row| !row[4].is_empty()) { "run over baseline" } else { "" };
        let head = ["", "", "baseline", "run", last].map(str::to_owned);
        let widest = |index: usize| cells.iter().chain([&head]).map(|row| letters(&row[index])).max().unwrap_or(0);
        let mut widths: [usize; 5] = std::array::from_fn(widest);
        let rest: usize = widths[1..].iter().map(|width| width + 2).sum();
        widths[0] = widths[0].min(self.width.saturating_sub(rest + 2).max(12));
        for row in [&head].into_iter().chain(&cells) {
            let [what, arm, baseline, run, ratio] = row;
            let what = pad(&shorten(what, widths[0]), widths[0], false);
            let arm = pad(arm, widths[1], false);
            let (baseline, run) = (pad(baseline, widths[2], true), pad(run, widths[3], true));
            self.line(&format!("  {what}  {arm}  {baseline}  {run}  {ratio}"));
        }
    }
}

/// Breaks words that are longer than a line as well: paths and commands have few spaces.
fn wrap_hard(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrapped(text, width) {
        let letters: Vec<char> = line.chars().collect();
        match letters.is_empty() {
            true => lines.push(String::new()),
            false => lines.extend(letters.chunks(width.max(1)).map(|chunk| chunk.iter().collect::<String>())),
        }
    }
    lines
}

fn cells(row: &Row) -> [String; 5] {
    let what = format!("{} {}", row.subject, row.quantity).trim().to_owned();
    let arm = match (&row.arm, row.unit) {
        (Some(arm), Unit::Ratio) => format!("{arm} / baseline"),
        (Some(arm), _) => arm.clone(),
        (None, _) => String::new(),
    };
    let value = row.value;
    let known: Vec<f64> = [value.baseline, value.run].into_iter().flatten().collect();
    let show = |value: Option<f64>| match (value, row.unit) {
        (None, _) => NOTHING.to_owned(),
        (Some(value), Unit::Ns) => TimeUnit::of(&known).show(value),
        (Some(value), Unit::PerSecond) => format!("{}/s", significant(value)),
        (Some(value), Unit::Ratio) => times(value, ["faster", "slower"]),
    };
    // How one ratio relates to another says little that both do not say themselves.
    let ratio = match (row.ratio, row.unit) {
        (None, _) | (_, Unit::Ratio) => String::new(),
        (Some(ratio), Unit::PerSecond) => times(ratio, ["less", "more"]),
        (Some(ratio), Unit::Ns) => times(ratio, ["faster", "slower"]),
    };
    [what, arm, show(value.baseline), show(value.run), ratio]
}

/// A ratio in words: below 1 the first one, above 1 the second one.
fn times(ratio: f64, words: [&str; 2]) -> String {
    if !ratio.is_finite() || ratio <= 0.0 {
        return NOTHING.to_owned();
    }
    let below = ratio < 1.0;
    let shown = factor(if below { 1.0 / ratio } else { ratio }, 2);
    match shown.as_str() {
        "1.00" => "1.00×".to_owned(),
        shown => format!("{shown}× {}", words[usize::from(!below)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_read_in_their_own_direction() {
        assert_eq!(times(0.5, ["faster", "slower"]), "2.00× faster");
        assert_eq!(times(2.0, ["less", "more"]), "2.00× more");
        assert_eq!(times(1.001, ["faster", "slower"]), "1.00×");
        assert_eq!(times(f64::NAN, ["faster", "slower"]), NOTHING);
    }

    #[test]
    fn long_words_are_broken() {
        assert_eq!(wrap_hard("results/2026-01-01", 8), ["results/", "2026-01-", "01"]);
        assert_eq!(wrap_hard("", 8), [""]);
    }
}
