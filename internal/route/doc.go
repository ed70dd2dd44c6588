// Package route says whether a tenant's route is open: what the configuration says of it (who owns it, why it is there, until when), and what people have said since, in the
// middle of the night and without an editor.
//
//	configuration: enabled, expires --\
//	                                   Book --> Closed(tenant, now): nil, or why nothing of the tenant goes through
//	people: policy stop, policy start -/  \--> the file stops in the state
//
// It promises that a stop holds from the moment at which Stop is called, before it is on the disk, and outlives the process when Stop returns without an error; that a start counts only when
// it is on the disk; that a file which cannot be read stops everybody, since nobody knows whom it stopped; and that it never asks the machine for the time: whoever asks brings a clock
// that does not run back.
//
// It refuses nothing by itself. Houses ask Closed where something of a tenant would be let in, released, delivered or sent, and keep what waits.
package route
