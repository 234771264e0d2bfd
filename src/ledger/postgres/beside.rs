//! The ledger in the very database that an effect writes: both in one transaction.

use super::super::effects::{End, Start};
use super::super::store::Act;
use super::super::{Here, Pending};
use super::{answered, clean, origin};
use crate::domain::queue::Course;
use crate::domain::{Error, Result};
use crate::ledger::fault::Res;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error as Trouble};

/// Which database of which running server this is, and as whom: a copy of the server has the same identifier, but was not
/// started at the same moment.
pub(super) const WHERE: &str = "SELECT concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), \
    (SELECT oid FROM pg_database WHERE datname = current_database()), \
    extract(epoch FROM pg_postmaster_start_time())), session_user::text";

/// A database, and a login of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Tells it from every other database of every server.
    pub database: String,
    /// The login.
    pub login: String,
}

impl Place {
    /// Where this connection leads.
    pub async fn of(client: &Client) -> Result<Self, Trouble> {
        let row = client.query_typed_one(WHERE, &[]).await?;
        Ok(Self {
            database: row.try_get(0)?,
            login: row.try_get(1)?,
        })
    }
}

/// What the ledger says of an effect, for the transaction that writes its rows in the ledger's own database.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Where the ledger is.
    place: Place,
    /// Function, origin and arguments of its beginning and its end.
    calls: [(&'static str, String, String); 2],
}

impl Beside {
    pub(in crate::ledger) fn new(place: Place, here: &Here, effect: &Pending, words: &str) -> Res<Self> {
        Ok(Self {
            place,
            calls: [
                call(
                    here,
                    &Start {
                        key: &effect.key,
                        // It begins and ends in one moment: nobody is ever at it.
                        lease: 0,
                        again: false,
                    },
                )?,
                call(
                    here,
                    &End {
                        key: &effect.key,
                        state: Course::Done,
                        words,
                    },
                )?,
            ],
        })
    }

    /// Whether the ledger is there, for the same login: whoever ends the effect must be whom the trail names.
    pub fn is(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// Waits for whoever else carries the effect out in this way, and says how far it is; `None` where the ledger has no
    /// such effect.
    pub async fn lock(&self, client: &Client, key: &str) -> Result<Option<String>, Trouble> {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        client.query_typed(lock, &[(&key, Type::TEXT)]).await?;
        let state = "SELECT state FROM restitch.effects WHERE key = $1";
        let rows = client.query_typed(state, &[(&key, Type::TEXT)]).await?;
        rows.first().map(|row| row.try_get(0)).transpose()
    }

    /// Writes down that the effect began and was done. The inner error says why it may not be.
    pub async fn note(&self, client: &Client) -> Result<Result<()>, Trouble> {
        for (name, origin, args) in &self.calls {
            let sql = format!("SELECT restitch.{name}($1::jsonb, $2::jsonb)::text");
            let rows = client
                .query_typed(&sql, &[(origin, Type::TEXT), (args, Type::TEXT)])
                .await?;
            match answered(&rows, "the ledger") {
                Ok(answer) if answer == false => {
                    return Ok(Err(Error::refused("nothing was written: the case changed meanwhile")));
                }
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }
}

fn call<A: Act>(here: &Here, act: &A) -> Res<(&'static str, String, String)> {
    let args = clean(serde_json::to_value(act)?);
    Ok((A::NAME, origin(here, act.deed()).to_string(), args.to_string()))
}
