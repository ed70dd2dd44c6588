package main

import (
	"ecluse/internal/udp"
	"ecluse/receiver/collect"
)

// socket is a UDP socket as receiver/collect wants it. One goroutine calls Receive.
type socket struct {
	*udp.Receiver
	views []udp.View
}

func (s *socket) Receive(buffers []collect.Buffer) (int, error) {
	s.views = s.views[:0]
	for _, b := range buffers {
		s.views = append(s.views, udp.View{Mem: b.Mem})
	}
	n, err := s.ReceiveInto(s.views)
	for i := range n {
		buffers[i].N, buffers[i].Segment = s.views[i].N, s.views[i].Segment
	}
	return n, err
}
