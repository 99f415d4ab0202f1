//! What expressions and commands give for one client: its variables, its random numbers.

use std::time::Duration;

use super::expression::Expression;
use super::function::Function;
use super::random::Random;
use super::value::{EvalError, Value};
use super::{Action, Amount, Sql, Symbols};

/// Arguments that are kept without an allocation.
const FEW: usize = 4;

/// The variables of one client, by number in the symbol table.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    values: Vec<Option<Text>>,
}

/// A variable is a value, or a text that may be one.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// From an expression.
    Value(Value),
    /// From `-D` or from the server.
    Text(String),
}

impl Variables {
    /// None is set.
    pub fn new(symbols: &Symbols) -> Variables {
        Variables { values: vec![None; symbols.len()] }
    }

    /// Those that every client of a run has, but for its number.
    pub fn of_run(symbols: &Symbols, seed: u64, scale: i64) -> Variables {
        let mut variables = Variables::new(symbols);
        let integer = |value: u64| Text::Value(Value::Integer(value as i64));
        variables.set(Symbols::DEFAULT_SEED, integer(Random::new(seed).bits()));
        variables.set(Symbols::RANDOM_SEED, integer(seed));
        variables.set(Symbols::SCALE, Text::Value(Value::Integer(scale)));
        variables
    }

    /// Sets one.
    pub fn set(&mut self, number: usize, text: Text) {
        if number >= self.values.len() {
            self.values.resize(number + 1, None);
        }
        if let Some(slot) = self.values.get_mut(number) {
            *slot = Some(text);
        }
    }

    /// What one holds, if it was set.
    pub fn get(&self, number: usize) -> Option<&Text> {
        self.values.get(number).and_then(Option::as_ref)
    }

    fn value(&self, number: usize, symbols: &Symbols) -> Result<Value, EvalError> {
        let name = || symbols.name(number);
        match self.get(number) {
            Some(Text::Value(value)) => Ok(*value),
            Some(Text::Text(text)) => {
                Value::read(text).ok_or_else(|| EvalError::new(format!("malformed variable \"{}\" value: \"{text}\"", name())))
            }
            None => Err(EvalError::undefined(name())),
        }
    }
}

/// What is left to do of a command when all that it reckons is reckoned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Todo<'s> {
    /// Nothing.
    Nothing,
    /// Send this.
    Send(&'s Sql),
    /// Wait so long.
    Sleep(Duration),
}

impl Action {
    /// Sets variables and takes branches; `next` is the number of the command that follows.
    pub fn perform(
        &self,
        next: &mut usize,
        variables: &mut Variables,
        symbols: &Symbols,
        random: &mut Random,
    ) -> Result<Todo<'_>, EvalError> {
        match self {
            Action::Sql(sql) => return Ok(Todo::Send(sql)),
            Action::Set { variable, expression } => {
                let value = expression.evaluate(variables, symbols, random)?;
                variables.set(*variable, Text::Value(value));
            }
            Action::Sleep { amount, unit } => return Ok(Todo::Sleep(unit.saturating_mul(amount.evaluate(variables, symbols)?))),
            Action::Unless { condition, otherwise } => {
                if !condition.evaluate(variables, symbols, random)?.is_true() {
                    *next = *otherwise;
                }
            }
            Action::Jump(to) => *next = *to,
            Action::Label => {}
        }
        Ok(Todo::Nothing)
    }
}

impl Amount {
    fn evaluate(&self, variables: &Variables, symbols: &Symbols) -> Result<u32, EvalError> {
        let number = match self {
            Amount::Fixed(number) => *number,
            Amount::Variable(variable) => variables.value(*variable, symbols)?.integer()?,
        };
        // Nobody sleeps for less than nothing.
        Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }
}

impl Expression {
    /// The variables that it reads, by number.
    pub fn variables(&self, found: &mut Vec<usize>) {
        match self {
            Expression::Constant(_) => {}
            Expression::Variable(number) => found.push(*number),
            Expression::Call(_, arguments) => arguments.iter().for_each(|one| one.variables(found)),
            Expression::And(sides) | Expression::Or(sides) => sides.iter().for_each(|one| one.variables(found)),
            Expression::Case(branches, otherwise) => {
                branches.iter().flatten().for_each(|one| one.variables(found));
                otherwise.variables(found);
            }
        }
    }

    /// Its value.
    pub fn evaluate(&self, variables: &Variables, symbols: &Symbols, random: &mut Random) -> Result<Value, EvalError> {
        let mut value = |expression: &Expression| expression.evaluate(variables, symbols, random);
        match self {
            Expression::Constant(value) => Ok(*value),
            Expression::Variable(number) => variables.value(*number, symbols),
            Expression::And(sides) => and(&sides[0], &sides[1], value),
            Expression::Or(sides) => or(&sides[0], &sides[1], value),
            Expression::Case(branches, otherwise) => {
                for [condition, result] in branches {
                    if value(condition)?.is_true() {
                        return value(result);
                    }
                }
                value(otherwise)
            }
            Expression::Call(function, arguments) => call(*function, arguments, variables, symbols, random),
        }
    }
}

fn call(
    function: Function,
    arguments: &[Expression],
    variables: &Variables,
    symbols: &Symbols,
    random: &mut Random,
) -> Result<Value, EvalError> {
    if arguments.len() > FEW {
        let values = arguments.iter().map(|argument| argument.evaluate(variables, symbols, random)).collect::<Result<Vec<_>, _>>()?;
        return function.call(&values, random);
    }
    let mut values = [Value::Null; FEW];
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = argument.evaluate(variables, symbols, random)?;
    }
    function.call(values.get(..arguments.len()).unwrap_or_default(), random)
}

/// The right side only has a value if the left one does not decide. Unlike in SQL, a null on the left does: pgbench has it so.
fn and(left: &Expression, right: &Expression, value: impl FnMut(&Expression) -> Result<Value, EvalError>) -> Result<Value, EvalError> {
    decided_by(false, left, right, value)
}

fn or(left: &Expression, right: &Expression, value: impl FnMut(&Expression) -> Result<Value, EvalError>) -> Result<Value, EvalError> {
    decided_by(true, left, right, value)
}

fn decided_by(
    decisive: bool,
    left: &Expression,
    right: &Expression,
    mut value: impl FnMut(&Expression) -> Result<Value, EvalError>,
) -> Result<Value, EvalError> {
    match value(left)? {
        Value::Null => return Ok(Value::Null),
        left if left.boolean()? == decisive => return Ok(Value::Boolean(decisive)),
        _ => {}
    }
    match value(right)? {
        Value::Null => Ok(Value::Null),
        right => Ok(Value::Boolean(right.boolean()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::parse;
    use super::*;

    fn evaluated(text: &str) -> Result<Value, String> {
        let mut symbols = Symbols::new();
        let expression = parse(text, &mut symbols).map_err(|misread| misread.message)?;
        let mut variables = Variables::new(&symbols);
        variables.set(Symbols::DEFAULT_SEED, Text::Value(Value::Integer(42)));
        variables.set(symbols.number("two"), Text::Text("2".to_owned()));
        variables.set(symbols.number("word"), Text::Text("blue".to_owned()));
        expression.evaluate(&variables, &symbols, &mut Random::new(1)).map_err(|error| error.0)
    }

    #[test]
    fn operators_bind_as_in_the_manual() {
        let cases = [
            ("1 + 2 * 3", Value::Integer(7)),
            ("(1 + 2) * 3", Value::Integer(9)),
            ("-2 - -3", Value::Integer(1)),
            ("7 / 2", Value::Integer(3)),
            ("-7 / 2", Value::Integer(-3)),
            ("-7 % 2", Value::Integer(-1)),
            ("7 / 2.0", Value::Double(3.5)),
            ("1 | 6 & 3", Value::Integer(3)),
            ("1 << 3 | 1", Value::Integer(9)),
            ("~0", Value::Integer(-1)),
            ("not 1 = 2", Value::Boolean(true)),
            ("1 < 2 and 3 >= 3", Value::Boolean(true)),
            ("true or 1 / 0 = 1", Value::Boolean(true)),
            ("null and false", Value::Null),
            ("false and null", Value::Boolean(false)),
            ("true and null", Value::Null),
            ("null or true", Value::Null),
            ("~1 + 1", Value::Integer(-3)),
            ("~1 | 1", Value::Integer(-1)),
            ("null is null", Value::Boolean(true)),
            ("1 + null", Value::Null),
            ("1 notnull", Value::Boolean(true)),
            ("3 is not 4", Value::Boolean(true)),
            ("case when 1 > 2 then 1 when true then :two end", Value::Integer(2)),
            ("case when false then 1 end", Value::Null),
            ("-9223372036854775808", Value::Integer(i64::MIN)),
            ("greatest(1, 2.5, :two)", Value::Double(2.5)),
            ("LEAST(4, 3)", Value::Integer(3)),
            ("int(2.5) + double(1)", Value::Double(3.0)),
            (".5 + 1.", Value::Double(1.5)),
        ];
        for (text, wanted) in cases {
            assert_eq!(evaluated(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_reckoned_says_why() {
        let cases = [
            ("1 / 0", "division by zero"),
            ("9223372036854775807 + 1", "bigint add out of range"),
            ("9223372036854775808", "9223372036854775808 is too large"),
            ("-9223372036854775808 / -1", "bigint div out of range"),
            ("random(2, 1)", "empty range given to random"),
            ("random(-9223372036854775808, 9223372036854775807)", "random range is too large"),
            (":nowhere", "undefined variable \"nowhere\""),
            (":word + 1", "malformed variable \"word\" value: \"blue\""),
            ("randon(1, 2)", "there is no function \"randon\""),
            ("random(1)", "random does not take 1 argument(s)"),
            ("1 +", "the end of the line is not expected here"),
            ("1 = 1 = 1", "comparisons do not follow one another"),
            ("true + 1", "cannot coerce boolean to int"),
            ("1 and true", "cannot coerce int to boolean"),
        ];
        for (text, wanted) in cases {
            assert_eq!(evaluated(text), Err(wanted.to_owned()), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert_eq!(evaluated(&deep), Err("the expression is nested too deeply".to_owned()));
        let long = |terms: usize| vec!["1"; terms].join(" + ");
        assert_eq!(evaluated(&long(501)), Ok(Value::Integer(501)));
        // Neither the tree nor what takes it apart may need more stack than there is.
        let nested = format!("abs(({}) + {})", long(400), long(200));
        for many in [long(502), long(20_000), nested] {
            assert_eq!(evaluated(&many), Err("the expression has too many levels".to_owned()));
        }
    }
}
