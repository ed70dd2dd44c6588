package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/host"
	"ecluse/internal/keys"
	"ecluse/internal/udp"
	"ecluse/protocol/fec"
	"ecluse/sender/house"
	"ecluse/sender/outbox"
	"ecluse/sender/watch"
)

func doctorCommand() *cobra.Command {
	var path, link string
	var asJSON bool
	var upTo config.Rate
	each := config.Duration(tryEach)
	c := &cobra.Command{
		Use: "doctor [flags]", Short: "Look for what does not hold on this machine", Args: cobra.NoArgs,
		Long: `Look at configuration, keys, plan, route, interface, outboxes, the machine and the daemon, and say of each whether it holds, and what to type where it could be better. What does not hold ends the command with exit code 1, a configuration that does not with 2.

--probe has the running daemon send a test pattern on a link: ten rates that rise up to --up-to, a second each, while what waits to be sent goes on waiting. On the high side,
"ecluse-receiver status" then says what came of it, and what to write into the configuration here. root and the daemon's own user may ask for it.`,
		Example: `  ecluse-sender doctor
  ecluse-sender doctor --probe a
  ecluse-sender doctor --probe a --up-to 10Gbit`,
		RunE: func(c *cobra.Command, _ []string) error {
			if link != "" {
				return sendProbe(c, path, probeRequest{link, int64(upTo), each.Std()}, asJSON)
			}
			for _, name := range []string{"up-to", "each"} {
				if c.Flags().Changed(name) {
					return cli.Fail(cli.Usage, "--%s goes with --probe", name)
				}
			}
			return examine(c.Context(), path).Print(c.OutOrStdout(), asJSON)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().StringVar(&link, "probe", "", "send a test pattern on this link")
	c.Flags().Var(&upTo, "up-to", "the highest rate of the pattern; without it the link's own")
	c.Flags().Lookup("up-to").DefValue = "" // none is shown
	c.Flags().Var(&each, "each", "how long each rate is tried")
	return c
}

// sendProbe has the daemon send a pattern, and says where its outcome can be read.
func sendProbe(c *cobra.Command, path string, in probeRequest, asJSON bool) error {
	conf, err := load(path)
	if err != nil {
		return err
	}
	var a probeAnswer
	err = control.Call(c.Context(), conf.State, "probe", in, &a)
	if errors.Is(err, control.ErrNoDaemon) {
		return conf.service().Absent("it sends probes, in its session")
	}
	if err != nil {
		return err
	}
	if asJSON {
		return cli.PrintJSON(c.OutOrStdout(), a)
	}
	last := a.Steps[len(a.Steps)-1]
	fmt.Fprintf(c.OutOrStdout(), "link %s: %d rates up to %s are out\n", a.Link, len(a.Steps), config.FormatRate(float64(last.Rate)))
	fmt.Fprintln(c.ErrOrStderr(), "What came of them is known on the high side: ecluse-receiver status")
	return nil
}

// examine makes all examinations.
func examine(ctx context.Context, path string) *cli.Doctor {
	d := new(cli.Doctor)
	conf, err := load(path)
	d.Configuration(path, err)
	d.Environment(config.UnknownVariables[Config](os.Environ()))
	if err != nil {
		return d
	}
	_, err = keys.LoadIdentity(conf.Identity)
	d.Check("identity "+conf.Identity, err)
	_, err = senderName(conf)
	d.Check("name", err)
	_, err = house.ReadEpoch(disk.New(), conf.State)
	d.Check("state "+conf.State, err)
	pair, err := keys.ReadPair(conf.Receiver)
	if err == nil && pair.Kind != keys.PairReceiver {
		err = fmt.Errorf("it is the card of a %s", pair.Kind)
	}
	d.Check("receiver "+conf.Receiver, err)
	var rate, memory int64
	for _, l := range conf.Links {
		examineLink(ctx, d, l)
		rate, memory = rate+int64(l.Rate), memory+int64(l.Memory)
	}
	d.Machine(rate, memory)
	for _, t := range conf.Tenants {
		examineOutbox(d, t)
	}
	var status watch.Status
	err = control.Call(ctx, conf.State, "status", struct{}{}, &status)
	if err != nil {
		status.Audit = cli.AuditGrowth(conf.State, nothingKept, time.Now())
	}
	d.AuditGrowth(status.Audit)
	d.Daemon(err, status.Alarms, conf.service())
	return d
}

func examineLink(ctx context.Context, d *cli.Doctor, l LinkConfig) {
	p, err := fec.NewPlan(l.facts())
	d.Check("plan of link "+l.Name, err)
	if err == nil && p.Parity > 0.25 {
		d.Warn("plan of link "+l.Name, fmt.Sprintf("parity takes %.0f%% of the link: is it really that bad?", 100*p.Parity))
	}
	s, err := udp.Dial(udp.SenderOptions{To: l.To.AddrPort})
	d.Check(fmt.Sprintf("route to %s", l.To), err)
	if err != nil {
		return
	}
	defer s.Close()
	mtu, err := s.MTU()
	if err == nil && mtu < l.MTU {
		err = fmt.Errorf("it has mtu %d, and the configuration says %d", mtu, l.MTU)
	}
	d.Check("mtu of link "+l.Name, err)
	examineInterface(ctx, d, l)
	if s.Mode() != "gso" {
		d.Warn("link "+l.Name, "the system cannot cut large sends (UDP_SEGMENT): it works, and takes more CPU")
	}
}

// examineInterface looks at the one by which the link leaves.
func examineInterface(ctx context.Context, d *cli.Doctor, l LinkConfig) {
	to := l.To.Addr()
	i, err := host.Toward(to)
	if err != nil {
		d.Check("interface of link "+l.Name, err)
		return
	}
	what := fmt.Sprintf("interface %s of link %s", i.Name, l.Name)
	rules, err := i.Rules(ctx, "ecluse_sender")
	if err != nil {
		d.Check("rules of "+i.Name, err)
	}
	d.Advise(what, append(i.Sends(l.MTU), rules...), nil)
	if i.Loopback || !i.AnswersARP {
		return
	}
	// Nobody answers across a diode: an entry that has to be asked for ends after a while, and everything with it.
	known, permanent, err := i.Neighbour(to)
	switch {
	case err != nil:
		d.Check(what, err)
	case !permanent && known:
		d.Warn(what, fmt.Sprintf("the entry of %s is not permanent: ip neighbour replace %s lladdr MAC nud permanent dev %s, and configs/networkd for good", to, to, i.Name))
	case !permanent:
		d.Warn(what, fmt.Sprintf("nobody has said whose address %s is, and across a diode nobody answers: ip neighbour replace %s lladdr MAC nud permanent dev %s, and configs/networkd for good", to, to, i.Name))
	}
}

func examineOutbox(d *cli.Doctor, t TenantConfig) {
	info, err := os.Stat(t.Outbox)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	d.Check("outbox "+t.Outbox, err)
	if err != nil {
		return
	}
	if outbox.Unseen(disk.New(), t.Outbox) {
		d.Warn("outbox "+t.Outbox, "items wait in failed/ for their operators (list --state failed)")
	}
	if free, err := disk.New().Space(t.Outbox); err == nil && free.Bytes < 1<<30 {
		d.Warn("outbox "+t.Outbox, config.FormatBytes(free.Bytes)+" are free")
	}
}
