package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/internal/udp"
	"ecluse/receiver/watch"
)

func doctorCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor [flags]", Short: "Look for what does not hold on this machine", Args: cobra.NoArgs,
		Long:    `Look at configuration, keys, trust, disks, sockets and the daemon, and say of each whether it holds. What does not ends the command with exit code 1.`,
		Example: "  ecluse-receiver doctor",
		RunE: func(c *cobra.Command, _ []string) error {
			d := examine(c.Context(), path)
			return d.Print(c.OutOrStdout(), asJSON)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// examine makes all examinations.
func examine(ctx context.Context, path string) *cli.Doctor {
	d := new(cli.Doctor)
	conf, err := config.Load(path, defaults())
	d.Check("configuration "+path, err)
	if err != nil {
		return d
	}
	_, err = keys.LoadReceiverKey(conf.Identity)
	d.Check("key "+conf.Identity, err)
	_, err = keys.LoadAllowedSigners(conf.AllowedSigners)
	d.Check("trust "+conf.AllowedSigners, err)
	if len(conf.Senders) == 0 {
		d.Warn("senders", "nobody is paired: ecluse-receiver pair sender.pair")
	}
	examineDisks(d, conf)
	var status watch.Status
	err = control.Call(ctx, conf.State, "status", struct{}{}, &status)
	if !d.Daemon(err, status.Alarms) {
		examineSockets(d, conf)
	}
	return d
}

func examineDisks(d *cli.Doctor, conf Config) {
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
			d.Check("destination "+v.Directory, writable(v.Directory))
			if !sameSystem(conf.State, v.Directory) {
				d.Warn("destination "+v.Directory, "it is on another file system than the state: deliveries are copies, not renames")
			}
		}
	}
}

// writable tries what a delivery does: make a hidden name, and remove it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".ecluse-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func sameSystem(a, b string) bool {
	x, errX := disk.Device(a)
	y, errY := disk.Device(b)
	return errX == nil && errY == nil && x == y
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
		examineInterface(d, l)
	}
}

// examineInterface looks whether the system would answer on the diode's interface.
func examineInterface(d *cli.Doctor, l LinkConfig) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			n, ok := a.(*net.IPNet)
			if !ok || i.Flags&net.FlagLoopback != 0 || n.IP.String() != l.Listen.Addr().Unmap().String() {
				continue
			}
			flags, err := os.ReadFile(filepath.Join("/sys/class/net", i.Name, "flags"))
			var bits uint64
			if _, scan := fmt.Sscanf(string(flags), "0x%x", &bits); err == nil && scan == nil && bits&0x80 == 0 {
				d.Warn("interface "+i.Name, "it answers ARP: nothing should leave by the diode (configs/networkd, configs/nftables/receiver.nft)")
			}
		}
	}
}
