package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/protocol/fec"
)

// planned is what plan prints of one link.
type planned struct {
	Link            string   `json:"link"`
	MTU             int      `json:"mtu"`
	Rate            int64    `json:"rate_bits_per_second"`
	Loss            float64  `json:"loss"`
	Burst           string   `json:"burst"`
	Shard           int      `json:"shard_bytes"`
	K               int      `json:"k"`
	M               int      `json:"m"`
	Window          int      `json:"window_blocks"`
	WindowBytes     int64    `json:"window_bytes"`
	WindowTime      float64  `json:"window_seconds"`
	BurstLoss       int      `json:"burst_loss_shards"`
	Parity          float64  `json:"parity"`
	Content         float64  `json:"content_bits_per_second"`
	Target          float64  `json:"block_target"`
	BlockFailure    float64  `json:"block_failure"`
	TransferFailure float64  `json:"transfer_failure"`
	Passes          int      `json:"passes"`
	Apart           *float64 `json:"apart_seconds"`
}

func planCommand() *cobra.Command {
	var path string
	var asJSON bool
	var l LinkConfig
	l.SetDefaults()
	l.To = config.AddrPort{AddrPort: netip.AddrPortFrom(netip.IPv4Unspecified(), 1)}
	c := &cobra.Command{
		Use: "plan [flags]", Short: "Print what the planner makes of the links", Args: cobra.NoArgs,
		Long: `Print what the planner makes of each configured link, or of the facts that are given as flags: shards and parity of a block, how many blocks are interleaved, what
that costs in bandwidth, memory and delay, and the chance that a transfer of 100 GiB cannot be repaired.`,
		Example: `  ecluse-sender plan
  ecluse-sender plan --mtu 9000 --rate 9Gbit --loss 3% --burst 20ms`,
		RunE: func(c *cobra.Command, _ []string) error {
			links, passes, err := planLinks(c, path, l)
			if err != nil {
				return err
			}
			all := []planned{}
			for _, l := range links {
				p, err := fec.NewPlan(l.facts())
				if err != nil {
					return &cli.Error{Code: cli.Usage, Err: fmt.Errorf("link %s: %w", l.Name, err), Hint: "a longer window takes more memory or delay; less loss or a shorter burst takes less"}
				}
				all = append(all, plannedOf(l, p, passes))
			}
			if asJSON {
				return cli.PrintJSON(c.OutOrStdout(), all)
			}
			return printPlans(c.OutOrStdout(), all)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	linkFlags(c, &l)
	c.Flags().Var(&l.Memory, "memory", "memory that interleaving may take")
	c.Flags().Var(&l.Delay, "delay", "time that interleaving may take")
	return c
}

// planLinks are the links of the configuration, or the one that the flags make.
func planLinks(c *cobra.Command, path string, given LinkConfig) ([]LinkConfig, PassesConfig, error) {
	for _, name := range []string{"to", "mtu", "rate", "loss", "burst", "memory", "delay"} {
		if c.Flags().Changed(name) {
			given.Name = "flags"
			return []LinkConfig{given}, PassesConfig{Count: 1}, nil
		}
	}
	conf, err := config.Load(path, defaults())
	if err != nil {
		return nil, PassesConfig{}, &cli.Error{Code: cli.Usage, Err: err, Hint: "or give the facts as flags: ecluse-sender plan --rate 900Mbit --loss 1% --burst 10ms"}
	}
	return conf.Links, conf.Passes, nil
}

func plannedOf(l LinkConfig, p *fec.Plan, passes PassesConfig) planned {
	out := planned{
		Link: l.Name, MTU: l.MTU, Rate: int64(l.Rate), Loss: float64(l.Loss), Burst: l.Burst.String(), Shard: p.Shard, K: p.K, M: p.M, Window: p.Window,
		WindowBytes: p.WindowBytes, WindowTime: p.WindowTime.Seconds(), BurstLoss: p.BurstLoss, Parity: p.Parity, Content: p.Content, Target: p.Target,
		BlockFailure: p.BlockFailure, TransferFailure: p.TransferFailure, Passes: passes.Count,
	}
	if passes.Count > 1 {
		apart := passes.Apart.Std().Seconds()
		out.Apart = &apart
	}
	return out
}

func printPlans(w io.Writer, all []planned) error {
	rows := [][]string{{"LINK", "MTU", "RATE", "LOSS", "BURST", "BLOCK", "SHARD", "WINDOW", "MEMORY", "DELAY", "PARITY", "CONTENT", "FAILS (BLOCK)", "FAILS (100 GiB)"}}
	for _, p := range all {
		rows = append(rows, []string{
			cli.Quote(p.Link), fmt.Sprint(p.MTU), config.FormatRate(float64(p.Rate)), config.Percent(p.Loss).String(), p.Burst, fmt.Sprintf("%d+%d", p.K, p.M), fmt.Sprint(p.Shard),
			fmt.Sprintf("%d blocks", p.Window), config.FormatBytes(p.WindowBytes), time.Duration(p.WindowTime * float64(time.Second)).Round(time.Millisecond).String(),
			fmt.Sprintf("%.1f%%", 100*p.Parity), config.FormatRate(p.Content), fmt.Sprintf("%.1e", p.BlockFailure), fmt.Sprintf("%.1e", p.TransferFailure),
		})
	}
	return cli.Table(w, rows)
}
