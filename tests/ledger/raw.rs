//! A person who speaks SQL instead of using restitch.

use crate::room::Room;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub struct Raw {
    client: Client,
    runtime: Runtime,
}

impl Raw {
    pub fn new(room: &Room, person: &str) -> Self {
        Self::at(room.pg.port, &room.db, person)
    }

    /// The same where another process started the server, or by way of another port.
    pub fn at(port: u16, db: &str, person: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let config = format!("host=127.0.0.1 port={port} user={person} dbname={db}");
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { client, runtime }
    }

    /// The first column of every row, or the SQLSTATE (`lost` where the connection is) and the message.
    pub fn sql(&self, sql: &str) -> Result<Vec<String>, (String, String)> {
        let answer = self.runtime.block_on(self.client.simple_query(sql));
        match answer {
            Ok(messages) => Ok(messages
                .iter()
                .filter_map(|m| match m {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
                    _ => None,
                })
                .collect()),
            Err(error) => {
                let Some(said) = error.as_db_error() else {
                    return Err(("lost".to_owned(), error.to_string()));
                };
                Err((said.code().code().to_owned(), said.message().to_owned()))
            }
        }
    }

    pub fn is_forbidden(&self, sql: &str) -> bool {
        self.sql(sql).is_err_and(|(code, _)| code == "42501")
    }
}
