//! The runner's side of a session: greeting, and what each message of the engine does.

use plue_wire::runner::{
    CancelMode, Claim, CloseCode, FromRunner, Hello, PROTOCOL, ResultVerdict, ResumeVerdict,
    ShutdownWhen, ToRunner, Verdict, Welcome,
};

use super::{Connection, Runner, held::Held};
use crate::{
    Error,
    attempt::stopping::Order,
    boot,
    link::{Dial, Link},
};

impl<D: Dial + Clone + 'static> Runner<D> {
    /// A connection is there: says who this is and what it still holds.
    pub(super) fn greet(&mut self, stream: D::Stream) -> Result<(), Error> {
        let hello = FromRunner::Hello(Hello {
            protocol: PROTOCOL,
            runner: self.options.runner.clone(),
            boot: self.boot.clone(),
            token: self.token.clone(),
            facts: boot::facts(&self.options.runner),
            resume: self.holdings(),
        });
        let mut link = Link::new(stream);
        link.send(&hello)?;
        self.connected = self.clock.mark();
        self.connection = Connection::Up { link, is_welcome: false };
        Ok(())
    }

    /// Handles every message that has arrived. A stream that is out of step is given up.
    pub(super) fn receive(&mut self) -> Result<(), Error> {
        loop {
            let Connection::Up { link, .. } = &mut self.connection else {
                return Ok(());
            };
            match link.receive() {
                Ok(Some(message)) => self.obey(message)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.disconnect();
                    return Ok(());
                }
            }
        }
    }

    fn obey(&mut self, message: ToRunner) -> Result<(), Error> {
        self.heard = self.clock.mark();
        match message {
            ToRunner::Welcome(welcome) => {
                self.resume(&welcome)?;
                self.warm_early();
                Ok(())
            }
            ToRunner::Assign(assign) => self.assign(assign),
            ToRunner::Ack(claim, seq) => {
                if let Some(held) = self.find(&claim) {
                    held.ack(seq);
                }
                Ok(())
            }
            ToRunner::Credit(claim, bytes) => {
                if let Some(held) = self.find(&claim) {
                    held.outbox.add_credit(bytes);
                }
                Ok(())
            }
            ToRunner::ResultAck(claim, verdict) => self.settle(&claim, verdict),
            ToRunner::Cancel(claim, mode) => {
                if let Some(held) = self.find(&claim) {
                    held.give(match mode {
                        CancelMode::Term => Order::Cancel,
                        CancelMode::Kill => Order::Kill,
                    });
                }
                Ok(())
            }
            ToRunner::Heartbeat => Ok(()),
            ToRunner::Care(claim, care) => {
                self.desk.announce(claim, care);
                Ok(())
            }
            ToRunner::Rules(claim, rules) => {
                self.desk.announce_rules(&claim, rules);
                Ok(())
            }
            ToRunner::Mask(secrets) => {
                self.masks.add(secrets.into_iter().map(|secret| secret.0));
                Ok(())
            }
            ToRunner::Agent(claim, order) => self.order(&claim, *order),
            ToRunner::Answer(answer) => {
                self.desk.answered(answer);
                Ok(())
            }
            ToRunner::Shutdown(ShutdownWhen::Idle) => {
                self.leave_when_idle();
                Ok(())
            }
            ToRunner::Shutdown(ShutdownWhen::Now) => {
                self.leave_now();
                Ok(())
            }
            ToRunner::Close(code, reason) => self.close(code, reason),
        }
    }

    fn find(&mut self, claim: &Claim) -> Option<&mut Held> {
        self.held.get_mut(&claim.attempt).filter(|held| held.claim == *claim)
    }

    fn resume(&mut self, welcome: &Welcome) -> Result<(), Error> {
        if let Connection::Up { is_welcome, .. } = &mut self.connection {
            *is_welcome = true;
        }
        self.pauses.reset();
        let claims: Vec<_> = self.held.values().map(|held| held.claim.clone()).collect();
        let lost = self.held.values().filter(|held| held.is_lost()).count();
        for claim in claims {
            let verdict = welcome.resume.iter().find(|verdict| verdict.claim == claim);
            self.resume_one(&claim, verdict, lost)?;
        }
        for verdict in &welcome.resume {
            if verdict.verdict == Verdict::Abandon {
                self.drop_waiting(&verdict.claim);
            }
        }
        self.send(&FromRunner::Ready)?;
        self.ask_again()
    }

    /// Without a verdict everything still held is sent again: the engine sorts out the rest.
    fn resume_one(
        &mut self,
        claim: &Claim,
        verdict: Option<&ResumeVerdict>,
        lost: usize,
    ) -> Result<(), Error> {
        let clock = self.clock;
        let Some(held) = self.find(claim) else {
            return Ok(());
        };
        match verdict.map(|verdict| verdict.verdict) {
            Some(Verdict::Abandon) => {
                self.abandon(&claim.attempt);
                return Ok(());
            }
            Some(Verdict::Cancel) => held.give(Order::Cancel),
            Some(Verdict::Continue) | None => {}
        }
        let acked = verdict.map_or_else(
            || held.outbox.resume(true).first_seq.saturating_sub(1),
            |verdict| verdict.acked,
        );
        held.ack(acked);
        if held.is_lost() {
            held.end_lost(acked, lost, &clock)?;
        }
        held.outbox.rewind(acked + 1, clock.now().as_microsecond())
    }

    fn settle(&mut self, claim: &Claim, verdict: ResultVerdict) -> Result<(), Error> {
        let now = self.clock.now().as_microsecond();
        let Some(held) = self.find(claim) else {
            return Ok(());
        };
        match verdict {
            ResultVerdict::Recorded | ResultVerdict::Duplicate if held.outbox.ended() => {
                self.forget(claim);
                Ok(())
            }
            // A verdict on a result that was never sent.
            ResultVerdict::Recorded | ResultVerdict::Duplicate => Ok(()),
            ResultVerdict::Fenced => {
                self.abandon(&claim.attempt);
                Ok(())
            }
            ResultVerdict::Need(seq) => held.outbox.rewind(seq, now),
        }
    }

    fn close(&mut self, code: CloseCode, reason: String) -> Result<(), Error> {
        match code {
            CloseCode::Overload => {
                self.disconnect();
                Ok(())
            }
            CloseCode::Auth | CloseCode::Superseded | CloseCode::Unknown | CloseCode::Version => {
                Err(Error::Dismissed { code, reason })
            }
        }
    }
}
