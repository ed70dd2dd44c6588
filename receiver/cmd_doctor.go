package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/host"
	"ecluse/internal/keys"
	"ecluse/internal/udp"
	"ecluse/receiver/release"
	"ecluse/receiver/watch"
)

func doctorCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor [flags]", Short: "Look for what does not hold on this machine", Args: cobra.NoArgs,
		Long: `Look at configuration, keys, trust, disks, sockets, interfaces, the machine and the daemon, and say of each whether it holds, and what to type where it could be better. What does not hold ends the
command with exit code 1, a configuration that does not with 2. Where no daemon runs it writes 256 MiB to the state's disk to measure it, and removes them.`,
		Example: "  ecluse-receiver doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			d := diagnose(c.Context(), path)
			return d.Print(c.OutOrStdout(), asJSON)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// diagnose makes all examinations.
func diagnose(ctx context.Context, path string) *cli.Doctor {
	d := new(cli.Doctor)
	conf, err := load(path)
	d.Configuration(path, err)
	d.Environment(config.UnknownVariables[Config](os.Environ()))
	if err != nil {
		return d
	}
	_, err = keys.LoadReceiverKey(conf.Identity)
	d.Check("key "+conf.Identity, err)
	_, err = keys.LoadAllowedSigners(conf.AllowedSigners)
	d.Check("trust "+conf.AllowedSigners, err)
	examineOfficers(d, conf)
	if len(conf.Senders) == 0 {
		d.Warn("senders", "nobody is paired: ecluse-receiver pair sender.pair")
	}
	examineDisks(ctx, d, conf)
	examineInspectors(ctx, d, conf)
	var status watch.Status
	err = control.Call(ctx, conf.State, "status", struct{}{}, &status)
	if err != nil {
		status.Audit = cli.AuditGrowth(conf.State, conf.Disk.Reserve.Of, time.Now())
	}
	d.AuditGrowth(status.Audit)
	if !d.Daemon(err, status.Alarms, conf.service()) {
		examineSockets(d, conf)
		examineSpeed(d, conf.State)
	}
	for _, l := range conf.Links {
		examineInterface(ctx, d, l)
	}
	examineKernel(d)
	d.Machine(0, int64(conf.Memory)*int64(len(conf.Links)))
	return d
}

// examineOfficers looks at who decides, and whether for each tenant there are as many as it asks for.
func examineOfficers(d *cli.Doctor, conf Config) {
	if conf.Officers == "" {
		d.Warn("officers", "none are named: a decision is no signature, and a person is an account. ecluse-receiver officer --help says how to change that")
		return
	}
	people, err := keys.LoadPeople(conf.Officers)
	d.Check("officers "+conf.Officers, err)
	if err != nil {
		return
	}
	names := people.Names()
	for _, t := range conf.Tenants {
		able := len(names)
		if len(t.Officers) > 0 {
			able = 0
			for _, name := range t.Officers {
				if slices.Contains(names, name) {
					able++
				} else {
					d.Warn("tenant "+t.Name, fmt.Sprintf("its officer %s does not stand in %s", name, conf.Officers))
				}
			}
		}
		if mode, err := release.ParseMode(t.Release); err == nil && able < mode.People() {
			d.Warn("tenant "+t.Name, fmt.Sprintf("release: %s needs %d people, and %d are enrolled: ecluse-receiver officer add NAME KEY.pub", t.Release, mode.People(), able))
		}
	}
	if conf.OfficerKey != "" && conf.Path == defaultPath {
		d.Warn("officer_key "+conf.OfficerKey, "an officer's key lies on the gateway itself: whoever is its owner here decides in that person's name")
	}
}

func examineDisks(ctx context.Context, d *cli.Doctor, conf Config) {
	free, err := disk.New().Space(conf.State)
	d.Check("state "+conf.State, err)
	if err == nil {
		if reserve := conf.Disk.Reserve.Of(free.Total); free.Bytes < reserve {
			d.Check("space", fmt.Errorf("%s are free, and %s are kept back: nothing is admitted", config.FormatBytes(free.Bytes), config.FormatBytes(reserve)))
		}
		if free.Inodes >= 0 && free.Inodes < 100_000 {
			d.Warn("inodes", fmt.Sprintf("%d are free: each file of a bundle takes one", free.Inodes))
		}
	}
	for _, t := range conf.Tenants {
		if len(t.Deliver) == 0 {
			d.Warn("tenant "+t.Name, "it has no destination: what is released stays in quarantine")
		}
		for _, v := range t.Deliver {
			if v.Directory == "" {
				examineRemote(ctx, d, v)
				continue
			}
			d.Check("destination "+v.Directory, writable(v.Directory))
			if apart(conf.State, v.Directory) {
				d.Warn("destination "+v.Directory, "it is on another file system than the state: deliveries are copies, not renames")
			}
		}
	}
}

// reachMost is how long a store or a registry may take to answer.
const reachMost = 20 * time.Second

// examineRemote asks a destination that is no directory, without writing there.
func examineRemote(ctx context.Context, d *cli.Doctor, v DeliverConfig) {
	to, err := v.remote(disk.New())
	if err != nil || to == nil {
		d.Check("destination "+v.As, err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachMost)
	defer cancel()
	err = to.Check(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", reachMost)
	}
	d.Check("destination "+to.Name(), err)
	if strings.HasPrefix(v.S3.Endpoint, "http:") || strings.HasPrefix(v.OCI.Registry, "http:") {
		d.Warn("destination "+to.Name(), "it is reached without TLS: who stands in between reads all of it, and can change it")
	}
}

// writable tries what a delivery does: make a hidden name, and remove it.
func writable(dir string) error {
	if info, err := os.Lstat(dir); err == nil && info.Mode().Type() == fs.ModeSymlink {
		return errors.New("it is a symbolic link, through which nothing is delivered: name the directory that it leads to")
	}
	f, err := os.CreateTemp(dir, ".ecluse-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// apart says whether two directories are known to be on different file systems.
func apart(a, b string) bool {
	x, errX := disk.Device(a)
	y, errY := disk.Device(b)
	return errX == nil && errY == nil && x != y
}

func examineSockets(d *cli.Doctor, conf Config) {
	for _, l := range conf.Links {
		r, err := udp.Listen(udp.ReceiverOptions{Listen: l.Listen.AddrPort, Buffer: int(l.ReceiveBuffer)})
		d.Check(fmt.Sprintf("link %s on %s", l.Name, l.Listen), err)
		if err != nil {
			continue
		}
		if size, err := r.BufferSize(); err == nil && size < int(l.ReceiveBuffer) {
			d.Warn("link "+l.Name, fmt.Sprintf("its socket gets %s of the %s asked for: configs/sysctl/60-ecluse.conf, or CAP_NET_ADMIN", config.FormatBytes(int64(size)), l.ReceiveBuffer))
		}
		if err := r.Close(); err != nil {
			d.Check("link "+l.Name, err)
		}
	}
}

// examineInterface looks at the one by which the link comes in.
func examineInterface(ctx context.Context, d *cli.Doctor, l LinkConfig) {
	if l.Listen.Addr().IsUnspecified() {
		d.Warn("link "+l.Name, "it listens at every address: name that of the diode's interface in listen:")
		return
	}
	i, err := host.At(l.Listen.Addr())
	if err != nil {
		d.Check("interface of link "+l.Name, err)
		return
	}
	list := i.Receives()
	rules, err := i.Rules(ctx, "ecluse_receiver")
	if err != nil {
		d.Check("rules of "+i.Name, err)
	}
	list = append(list, rules...)
	lost, err := i.Lost()
	if err == nil {
		list = append(list, i.Thrown(lost)...)
	}
	d.Advise(fmt.Sprintf("interface %s of link %s", i.Name, l.Name), list, err)
}

// examineKernel says what sockets of this machine threw away, by cause.
func examineKernel(d *cli.Doctor) {
	c, err := udp.KernelCounters()
	if err != nil {
		d.Check("datagrams", err)
		return
	}
	for _, x := range []struct {
		count uint64
		text  string
	}{
		{c.RcvbufErrors, "%d found a socket's buffer full: a larger receive_buffer: in the links, a slower rate: on the low side, or a faster machine"},
		{c.MemErrors, "%d found no memory for sockets: sysctl net.ipv4.udp_mem"},
		{c.InCsumErrors, "%d had a wrong checksum: a cable, an optic or an interface is bad"},
		{c.NoPorts, "%d came to a port where nobody listened: while the receiver was down, or from somebody else"},
	} {
		if x.count > 0 {
			d.Warn("datagrams", fmt.Sprintf(x.text+" (of all sockets since this machine was started)", x.count))
		}
	}
}

// What doctor writes to measure a disk, and how long at the most.
const (
	measured     = 256 << 20
	measuredMost = 5 * time.Second
)

// examineSpeed measures the disk. Nobody but the sender knows the link's rate, so it says what rate the disk is good for.
//
// It is left alone while the daemon needs it.
func examineSpeed(d *cli.Doctor, dir string) {
	what := "disk of " + dir
	if free, err := disk.New().Space(dir); err != nil || free.Bytes < 4*measured {
		return // a disk that is full or not there is complained of already
	}
	rate, err := host.Written(dir, measured, measuredMost)
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.Warn(what, "only root, or the user that owns it, can measure it")
		return
	case err != nil:
		d.Check(what, err)
		return
	}
	d.Note(what, fmt.Sprintf("it takes %s/s: links of %s in all, and no more", config.FormatBytes(int64(rate)), config.FormatRate(8*rate)))
}
