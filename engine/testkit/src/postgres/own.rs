//! A server of a test's own, which it may stop and start again.

use std::{fs, path::Path};

use super::{Account, Server, USER, binaries, open_lock, succeed};

/// Stopped and deleted with this value.
#[derive(Debug)]
pub struct OwnServer(Server);

// === impl OwnServer ===

impl OwnServer {
    /// A running server with an empty database.
    ///
    /// # Panics
    /// As [`super::Database::create`].
    #[must_use]
    pub fn start() -> Self {
        let account = Account::for_server();
        let directory = super::fresh_directory(account.as_ref());
        let in_use = open_lock(&directory.join("in_use"));
        let server = Server { binaries: binaries(), directory, _in_use: in_use };
        server.init(account.as_ref());
        server.launch(account.as_ref());
        let mut create = server.client("createdb");
        succeed(create.args(["--template", "template0", "test"]));
        Self(server)
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        let host = self.0.directory.display();
        format!("postgres://{USER}@localhost/test?host={host}")
    }

    /// A folder that the server's account owns.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Runs SQL, each statement by itself.
    ///
    /// # Panics
    /// If the server refuses it.
    pub fn psql(&self, statements: &[&str]) {
        let mut psql = self.0.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", "test"]);
        for statement in statements {
            psql.args(["--command", statement]);
        }
        succeed(&mut psql);
    }

    /// Stops the server: every connection is cut, and none can be made.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&self) {
        let account = Account::for_server();
        let mut stop = self.0.server_command("pg_ctl", account.as_ref());
        stop.arg("stop").arg("--pgdata").arg(self.0.directory.join("data"));
        succeed(stop.args(["--mode", "immediate", "--wait", "--silent"]));
    }

    /// Starts it again on its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        self.0.launch(Account::for_server().as_ref());
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let account = Account::for_server();
        let mut stop = self.0.server_command("pg_ctl", account.as_ref());
        stop.arg("stop").arg("--pgdata").arg(self.0.directory.join("data"));
        let _may_have_stopped = stop.args(["--mode", "immediate", "--silent"]).output();
        let _left_in_tmp = fs::remove_dir_all(&self.0.directory);
    }
}
