// Package points strikes every act of both sides on their disks, one after another, in whole runs of the production houses.
//
//	script   one run of everything that the sides do: items of all kinds, repairs, decisions, deliveries, receipts, restarts, purges    (no chance in it)
//	site     one act of it: its kind, its path without what differs from run to run, and the how-manieth of these it is
//	case     a site, and what happens there: kill, torn write, EIO, ENOSPC, short write, power cut; and perhaps once more while the side recovers
//
// An undisturbed run lists the sites. A case is the same run with the fault; the side that was struck is started again as systemd does it, operators do what the README says, and
// then everything that was dropped has to be accounted for. So a new act of production is struck as soon as the script comes to it.
//
// It knows both houses, and is a test of them: nothing imports it.
package points
