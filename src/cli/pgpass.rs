//! libpq's password file, for those who keep their passwords there: `PGPASSFILE`, else `~/.pgpass`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whom a password is for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The server; `localhost` for the usual sockets.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// The password of the first line that fits; `Err` says why a file that is there is not read.
pub fn password(wanted: &Wanted<'_>) -> Result<Option<String>, String> {
    let Some(path) = place() else { return Ok(None) };
    let Ok(metadata) = std::fs::metadata(&path) else { return Ok(None) };
    if !metadata.is_file() {
        return Err(format!("password file \"{}\" is not a plain file", path.display()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("password file \"{}\" has group or world access; permissions should be u=rw (0600) or less", path.display()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("password file \"{}\": {error}", path.display()))?;
    Ok(find(&text, wanted))
}

fn place() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("PGPASSFILE").map(PathBuf::from).or_else(|| Some(Path::new(&variable("HOME")?).join(".pgpass")))
}

fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    let wanted = [wanted.host, &port, wanted.database, wanted.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let fits = [host, port, database, user].into_iter().zip(wanted).all(|(field, wanted)| field.raw == "*" || field.text == wanted);
        fits.then(|| password.text.clone())
    })
}

/// One of five, as it stands and as it is meant.
#[derive(Default)]
struct Field {
    raw: String,
    text: String,
}

/// Each ends at a colon, as in libpq also the password. A backslash takes the meaning from what follows it.
fn fields(line: &str) -> Vec<Field> {
    let mut fields = vec![Field::default()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let count = fields.len();
        let Some(field) = fields.last_mut() else { break };
        match letter {
            ':' if count == 5 => break,
            ':' => fields.push(Field::default()),
            '\\' => {
                let meant = letters.next().unwrap_or('\\');
                field.raw.extend([letter, meant]);
                field.text.push(meant);
            }
            _ => {
                field.raw.push(letter);
                field.text.push(letter);
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# a comment\ndb.example:5432:shop:ann:one\n*:6432:*:ann:two\\:with\\:colons\\\\\nlocalhost:*:*:*:three:cut\nincomplete:5432\n";

    fn found(host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        find(FILE, &Wanted { host, port, database, user })
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        assert_eq!(found("db.example", 5432, "shop", "ann").as_deref(), Some("one"));
        assert_eq!(found("db.example", 6432, "other", "ann").as_deref(), Some("two:with:colons\\"));
        assert_eq!(found("localhost", 1, "x", "y").as_deref(), Some("three"));
        assert_eq!(found("db.example", 5432, "shop", "bob"), None);
    }

    #[test]
    fn an_escaped_star_is_a_star() {
        let wanted = Wanted { host: "h", port: 1, database: "*", user: "u" };
        assert_eq!(find("h:1:\\*:u:p", &wanted).as_deref(), Some("p"));
        assert_eq!(find("h:1:\\*:u:p", &Wanted { database: "x", ..wanted }), None);
    }
}
