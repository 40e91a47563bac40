//! The real command confines itself, and real programs run in what is left.
//!
//! They need a kernel with Landlock, and perl, which makes system calls by number.

#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod terminal;

#[cfg(test)]
mod escapes;
#[cfg(test)]
mod files;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod outset;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod tools;
