//! What a script does in one arrival: everything that it reckons, reckoned before its first statement is sent.

use std::sync::Arc;
use std::time::Duration;

use super::{Bound, text};
use crate::dataset::Value;
use crate::scenario::ScriptedTransaction;
use crate::scenario::script::Parameter;
use crate::script::Symbols;
use crate::script::evaluate::{Text, Todo, Variables};
use crate::script::random::Random;
use crate::script::value::{EvalError, Value as Number};

/// The way through a script.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Whether a statement is sent, by its position.
    pub sends: Vec<bool>,
    /// How long the script sleeps before a statement, by its position; one more for the time after the last.
    pub sleeps: Vec<Duration>,
    /// Why a value cannot be had, and in which line.
    pub fault: Option<(usize, EvalError)>,
}

/// What a script starts with.
#[derive(Debug)]
pub(super) struct Start {
    scripted: Arc<ScriptedTransaction>,
    variables: Variables,
    /// Least and greatest `:client_id`.
    clients: u32,
}

impl Start {
    pub(super) fn new(scripted: &Arc<ScriptedTransaction>, clients: u32, seed: u64) -> Start {
        let mut variables = Variables::of_run(&scripted.symbols, seed, 1);
        for (variable, value) in &scripted.variables {
            variables.set(*variable, value.clone());
        }
        Start { scripted: scripted.clone(), variables, clients }
    }

    /// Goes through the script. `values` holds what was drawn; what the script gives to parameters is appended, a value for each slot.
    pub(super) fn follow(&self, mut random: Random, values: &mut Vec<Bound>) -> Course {
        let scripted = &*self.scripted;
        let mut variables = self.variables.clone();
        // An arrival has no client; it has one of their numbers.
        let client = random.between(0, u64::from(self.clients.saturating_sub(1)));
        variables.set(Symbols::CLIENT_ID, Text::Value(Number::Integer(client as i64)));
        for (variable, position) in &scripted.drawn {
            if let Some(Bound::One(value)) = values.get(*position) {
                variables.set(*variable, variable_of(value));
            }
        }
        let first_slot = values.len();
        values.resize(first_slot + scripted.slots, Bound::One(Value::Null));
        let statements = scripted.parameters.len();
        let mut course = Course { sends: vec![false; statements], sleeps: vec![Duration::ZERO; statements + 1], fault: None };
        let (mut next, mut slept) = (0, Duration::ZERO);
        while let Some(command) = scripted.script.commands.get(next) {
            let at = next;
            next += 1;
            let result = match command.action.perform(&mut next, &mut variables, &scripted.symbols, &mut random) {
                Ok(Todo::Nothing) => Ok(()),
                Ok(Todo::Sleep(length)) => {
                    slept += length;
                    Ok(())
                }
                Ok(Todo::Send(_)) => {
                    let statement = scripted.statement_of(at);
                    course.sends[statement] = true;
                    course.sleeps[statement] = std::mem::take(&mut slept);
                    self.fill(statement, &variables, &mut values[first_slot..])
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                course.fault = Some((command.line, error));
                return course;
            }
        }
        course.sleeps[statements] = slept;
        course
    }

    /// Gives the slots of a statement their values.
    fn fill(&self, statement: usize, variables: &Variables, slots: &mut [Bound]) -> Result<(), EvalError> {
        for parameter in &self.scripted.parameters[statement] {
            let Parameter::Slot { slot, variable } = *parameter else { continue };
            slots[slot] = match variables.get(variable) {
                Some(Text::Value(Number::Null)) => Bound::One(Value::Null),
                Some(Text::Value(value)) => Bound::Text(value.to_string().into()),
                Some(Text::Text(text)) => Bound::Text(text.as_str().into()),
                None => return Err(EvalError::undefined(self.scripted.symbols.name(variable))),
            };
        }
        Ok(())
    }
}

/// A drawn value as scripts reckon with it.
fn variable_of(value: &Value) -> Text {
    match value {
        Value::Null => Text::Value(Number::Null),
        Value::Int(number) => Text::Value(Number::Integer(*number)),
        Value::Float(number) => Text::Value(Number::Double(*number)),
        Value::Bool(truth) => Text::Value(Number::Boolean(*truth)),
        other => Text::Text(text(other).unwrap_or_default()),
    }
}
