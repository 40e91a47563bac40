//! What the kernel could not tell of.

use lanyard_node_agent_abi::process::ExecId;
use lanyard_protocol::record::Event;

use super::Node;
use crate::kernel::clock::Moment;

/// How many events the kernel could not tell since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    executions: u64,
    flows: u64,
    all: u64,
}

/// What the kernel could not tell of since it was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Losses {
    /// Executions, or ends of images.
    pub executions: bool,
    /// Connections, or ends of them.
    pub flows: bool,
}

impl Node {
    /// Records what the kernel could not tell since the last call, and says of what kind it was: then there may be
    /// images or connections that nothing is known of.
    pub fn on_losses(&mut self, now: Moment) -> Losses {
        let counters = self.counters();
        let of = |name: &str| {
            counters
                .iter()
                .find(|(known, _)| *known == name)
                .map_or(0, |(_, count)| *count)
        };
        let executions = of("LostExecs");
        let flows = of("LostFlows");
        let all = executions + of("LostRefusals") + flows;
        let before = std::mem::replace(
            &mut self.lost,
            Lost {
                executions,
                flows,
                all,
            },
        );
        if all > before.all {
            self.record(
                Event::EventsLost {
                    count: all - before.all,
                },
                now,
            );
        }
        let losses = Losses {
            executions: executions > before.executions,
            flows: flows > before.flows,
        };
        if losses.executions {
            self.forget_untold_ends();
        }
        losses
    }

    /// An end that was not told would be remembered for ever, and take the place of what is executed next.
    fn forget_untold_ends(&mut self) {
        let is_over = |exec_id: &ExecId| self.maps.is_live(*exec_id).is_ok_and(|is_live| !is_live);
        let ended: Vec<ExecId> = self.images.ids().filter(is_over).collect();
        for exec_id in ended {
            self.on_ended(exec_id);
        }
    }
}
