//! From the text of a script to its commands: branches become jumps, and mistakes are placed.

use std::ops::Range;
use std::time::Duration;

use super::expression::{Expression, Misread, parse};
use super::reader::{Part, Reader};
use super::{Action, Amount, Command, Sql, Symbols, is_variable_name, pieces};
use crate::diagnostic::{Diagnostic, Findings, Source};

/// An `\if` that is not closed yet.
struct Open {
    span: Range<usize>,
    /// The condition whose way out is not known yet; `None` behind `\else`.
    pending: Option<usize>,
    /// Ends of branches, which go on behind `\endif`.
    ends: Vec<usize>,
}

/// Reads a script's commands. Everything that is wrong with it is told at once.
pub(super) fn commands(source: &Source, symbols: &mut Symbols) -> Result<Vec<Command>, Vec<Diagnostic>> {
    let mut builder = Builder { source, findings: Findings::new(source.clone()), symbols, commands: Vec::new(), open: Vec::new() };
    builder.read();
    let Builder { findings, commands, .. } = builder;
    let found = findings.into_vec();
    if found.is_empty() { Ok(commands) } else { Err(found) }
}

struct Builder<'a> {
    source: &'a Source,
    findings: Findings,
    symbols: &'a mut Symbols,
    commands: Vec<Command>,
    open: Vec<Open>,
}

/// All that begins with a backslash.
const META: [&str; 10] = ["aset", "elif", "else", "endif", "endpipeline", "gset", "if", "set", "sleep", "startpipeline"];
const SHELL: [&str; 2] = ["setshell", "shell"];

impl Builder<'_> {
    fn read(&mut self) {
        let text = self.source.text().to_owned();
        let mut reader = Reader::new(&text);
        while let Some(part) = reader.next_part() {
            match part {
                Ok(Part::Sql { span, text }) => self.sql(&text, span),
                Ok(Part::Meta(span)) => self.meta(&text, span),
                Err((span, message)) => self.findings.add(span, "", message, "close it"),
            }
        }
        if let Some(open) = self.open.pop() {
            self.findings.add(open.span, "", "this \\if has no \\endif", "close it with \\endif");
        }
        if self.commands.is_empty() && self.findings.count() == 0 {
            let help = "at least one SQL statement or meta command";
            self.findings.add(0..0, "", "the script holds no command", help);
        }
    }

    fn push(&mut self, span: &Range<usize>, action: Action) -> usize {
        let line = self.source.line_column(span.start).0;
        let text = self.source.text().get(span.clone()).unwrap_or_default().trim();
        let text = text.lines().next().unwrap_or_default().to_owned();
        self.commands.push(Command { line, text, action });
        self.commands.len() - 1
    }

    fn sql(&mut self, text: &str, span: Range<usize>) {
        let pieces = pieces(text, self.symbols);
        self.push(&span, Action::Sql(Sql { pieces, capture: None }));
    }

    /// A line that begins with a backslash, line ends behind a backslash taken out.
    fn meta(&mut self, text: &str, span: Range<usize>) {
        let whole = text.get(span.clone()).unwrap_or_default();
        let word_end = whole[1..].find(|c: char| c.is_ascii_whitespace()).map_or(whole.len(), |end| end + 1);
        let (word, rest) = whole.split_at(word_end);
        let word = word[1..].to_ascii_lowercase();
        let named = span.start..span.start + word_end;
        let arguments = Arguments { text: rest, start: span.start + word_end };
        match word.as_str() {
            "set" => self.set(span, &arguments),
            "sleep" => self.sleep(span, &arguments),
            "if" => self.begin_if(span, &arguments),
            "elif" => self.elif(span, &arguments),
            "else" => self.else_(span, &arguments),
            "endif" => self.endif(span, &arguments),
            "gset" => self.gset(span, &arguments),
            "aset" | "startpipeline" | "endpipeline" => {
                let help = "\\gset takes the row of one statement; without a pipeline, each statement is a round trip";
                self.findings.add(named, "", format!("\\{word} is not supported"), help);
            }
            word if SHELL.contains(&word) => {
                self.findings.add(
                    named,
                    "",
                    format!("\\{word} is refused: a script must not run programs"),
                    "compute the value with \\set",
                );
            }
            word => {
                let help = match crate::diagnostic::closest(word, META) {
                    Some(close) => format!("did you mean \\{close}?"),
                    None => "there are \\set, \\if, \\elif, \\else, \\endif, \\gset and \\sleep".to_owned(),
                };
                self.findings.add(named, "", format!("there is no meta command \\{word}"), help);
            }
        }
    }

    fn set(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        let Some((name, at)) = arguments.words().next() else {
            return self.findings.add(span, "", "\\set needs a variable and an expression", "\\set name expression");
        };
        if !is_variable_name(name) {
            let help = "letters, digits and underscores";
            return self.findings.add(at.clone(), "", format!("\"{name}\" is no name of a variable"), help);
        }
        let behind = Arguments { text: &arguments.text[at.end - arguments.start..], start: at.end };
        if let Some(expression) = self.expression(&behind, &span) {
            let variable = self.symbols.number(name);
            self.push(&span, Action::Set { variable, expression });
        }
    }

    fn sleep(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        let words: Vec<(&str, Range<usize>)> = arguments.words().collect();
        let help = "\\sleep NUMBER [us | ms | s], or a variable for the number";
        let (first, at, unit) = match words.as_slice() {
            [(first, at)] => {
                // The unit may stand right behind the number.
                let digits = first.find(|c: char| !c.is_ascii_digit()).unwrap_or(first.len());
                match first.starts_with(':') || digits == 0 {
                    true => (*first, at.clone(), "s"),
                    false => (&first[..digits], at.clone(), if digits == first.len() { "s" } else { &first[digits..] }),
                }
            }
            [(first, at), (unit, _)] => (*first, at.clone(), *unit),
            _ => return self.findings.add(span, "", "\\sleep needs a time", help),
        };
        let unit = match unit.to_ascii_lowercase().as_str() {
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            _ => return self.findings.add(at, "", format!("\"{unit}\" is no unit of time"), help),
        };
        let amount = match first.strip_prefix(':') {
            Some(name) if is_variable_name(name) => Amount::Variable(self.symbols.number(name)),
            _ => match first.parse() {
                Ok(number) => Amount::Fixed(number),
                Err(_) => return self.findings.add(at, "", format!("\"{first}\" is no whole number"), help),
            },
        };
        self.push(&span, Action::Sleep { amount, unit });
    }

    fn begin_if(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        // A condition that cannot be read is told; the branch is there all the same.
        let condition = self.expression(arguments, &span).unwrap_or(Expression::Constant(super::value::Value::Null));
        let at = self.push(&span, Action::Unless { condition, otherwise: 0 });
        self.open.push(Open { span, pending: Some(at), ends: Vec::new() });
    }

    fn elif(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        let condition = self.expression(arguments, &span).unwrap_or(Expression::Constant(super::value::Value::Null));
        if !self.next_branch(&span, "\\elif") {
            return;
        }
        let at = self.push(&span, Action::Unless { condition, otherwise: 0 });
        if let Some(open) = self.open.last_mut() {
            open.pending = Some(at);
        }
    }

    fn else_(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        self.no_arguments("\\else", arguments);
        if self.next_branch(&span, "\\else") {
            self.push(&span, Action::Label);
        }
    }

    fn endif(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        self.no_arguments("\\endif", arguments);
        let Some(open) = self.open.pop() else {
            return self.findings.add(span, "", "this \\endif has no \\if", "\\if EXPRESSION opens a branch");
        };
        let here = self.push(&span, Action::Label);
        for at in open.pending.into_iter().chain(open.ends) {
            self.aim(at, here);
        }
    }

    /// Ends the branch before `\elif` or `\else`, and lets the condition that led there fail to here. Whether there was one.
    fn next_branch(&mut self, span: &Range<usize>, word: &str) -> bool {
        let pending = self.open.last_mut().and_then(|open| open.pending.take());
        let Some(pending) = pending else {
            let message = match self.open.is_empty() {
                true => format!("this {word} has no \\if"),
                false => format!("{word} behind \\else"),
            };
            self.findings.add(span.clone(), "", message, "\\if, any number of \\elif, at most one \\else, \\endif");
            return false;
        };
        let end = self.push(span, Action::Jump(0));
        let next = self.commands.len();
        self.aim(pending, next);
        if let Some(open) = self.open.last_mut() {
            open.ends.push(end);
        }
        true
    }

    fn aim(&mut self, at: usize, to: usize) {
        match self.commands.get_mut(at).map(|command| &mut command.action) {
            Some(Action::Unless { otherwise, .. }) => *otherwise = to,
            Some(Action::Jump(target)) => *target = to,
            _ => {}
        }
    }

    fn gset(&mut self, span: Range<usize>, arguments: &Arguments<'_>) {
        let words: Vec<(&str, Range<usize>)> = arguments.words().collect();
        if let [_, (_, second), ..] = words.as_slice() {
            return self.findings.add(second.clone(), "", "\\gset takes one prefix at most", "\\gset [PREFIX]");
        }
        let prefix = words.first().map_or("", |(prefix, _)| prefix).to_owned();
        match self.commands.last_mut().map(|command| &mut command.action) {
            Some(Action::Sql(sql)) if sql.capture.is_none() => sql.capture = Some(prefix),
            _ => self.findings.add(span, "", "\\gset must follow an SQL statement", "it takes the columns of that statement's row"),
        }
    }

    fn no_arguments(&mut self, word: &str, arguments: &Arguments<'_>) {
        if let Some((_, at)) = arguments.words().next() {
            self.findings.add(at, "", format!("{word} takes no argument"), "leave it out");
        }
    }

    fn expression(&mut self, arguments: &Arguments<'_>, span: &Range<usize>) -> Option<Expression> {
        if arguments.text.trim().is_empty() {
            self.findings.add(
                span.clone(),
                "",
                "an expression is missing",
                "a number, a variable such as :x, a function such as random(1, 10)",
            );
            return None;
        }
        // A backslash at the end of a line goes on with the next one.
        let text = arguments.text.replace("\\\r\n", "   ").replace("\\\n", "  ");
        match parse(&text, self.symbols) {
            Ok(expression) => Some(expression),
            Err(Misread { span, message, help }) => {
                let at = arguments.start + span.start..arguments.start + span.end;
                self.findings.add(at, "", message, help);
                None
            }
        }
    }
}

/// What follows a meta command's name, and where in the script.
struct Arguments<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Arguments<'a> {
    /// Words between white space, with their place in the script. A backslash at the end of a line is none.
    fn words(&self) -> impl Iterator<Item = (&'a str, Range<usize>)> + use<'a> {
        let (text, start) = (self.text, self.start);
        text.split_ascii_whitespace().filter(|word| *word != "\\").map(move |word| {
            let at = start + (word.as_ptr() as usize - text.as_ptr() as usize);
            (word, at..at + word.len())
        })
    }
}
