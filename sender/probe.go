package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/udp"
	"ecluse/protocol/packet"
	"ecluse/sender/transmit"
)

// probeSteps is how many rates a probe tries.
const probeSteps = 10

// probeRequest asks for a test pattern on a link.
type probeRequest struct {
	Link string        `json:"link"`
	UpTo int64         `json:"up_to"` // bits a second; 0 is the link's own rate
	Each time.Duration `json:"each"`  // how long each rate is tried
}

// probeAnswer is what was sent. What came of it only the other side knows.
type probeAnswer struct {
	Link  string      `json:"link"`
	Steps []probeStep `json:"steps"`
}

type probeStep struct {
	Rate    int64  `json:"rate"` // bits a second of the wire
	Packets uint32 `json:"packets"`
}

// probe sends a test pattern.
func (d *daemon) probe(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
	var in probeRequest
	if err := control.Decode(m, &in); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(d.c.Links, func(l LinkConfig) bool { return l.Name == in.Link })
	if i < 0 {
		return nil, &control.Error{Code: cli.NotFound, Text: fmt.Sprintf("there is no link %q: the configuration has %q", in.Link, d.c.Links[0].Name)}
	}
	l := d.c.Links[i]
	if in.UpTo == 0 {
		in.UpTo = int64(l.Rate)
	}
	size := d.plan.Shard + packet.Overhead
	steps, err := transmit.ProbeSteps(probeSteps, in.UpTo, in.Each, size+l.overhead(), func(rate int64) (transmit.Pacer, int) {
		pacer := udp.NewPacer(rate, nil)
		return pacer, pacer.Batch(size)
	})
	if err != nil {
		return nil, &control.Error{Code: cli.Usage, Text: err.Error()}
	}
	d.log.Info("probing", zap.String("link", l.Name), zap.Int64("up_to", in.UpTo), zap.Uint32("uid", p.UID), zap.String("user", p.Name()))
	err = d.Engine.Probe(ctx, steps)
	switch {
	case errors.Is(err, transmit.ErrProbing):
		return nil, &control.Error{Code: cli.Failed, Text: err.Error()}
	case err != nil:
		return nil, err
	}
	a := probeAnswer{Link: l.Name, Steps: []probeStep{}}
	for _, s := range steps {
		a.Steps = append(a.Steps, probeStep{s.Rate, s.Packets})
	}
	return a, nil
}

// tryEach is how long a rate is tried: long enough for any buffer on the way to fill.
const tryEach = time.Second
