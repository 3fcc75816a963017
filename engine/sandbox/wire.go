//go:build linux

package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// wire carries messages between dpb and the process that keeps a sandbox: each a length of four bytes, with which files travel, and a piece of a stream of gob.
type wire struct {
	*net.UnixConn
	*stream
}

// stream turns messages into bytes and back. Its types are told once.
type stream struct {
	out, in bytes.Buffer
	encode  *gob.Encoder
	decode  *gob.Decoder
}

const maxMessage, maxFiles = 64 << 20, 16

func newWire(f *os.File) (wire, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return wire{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return wire{}, errors.New("no unix socket")
	}
	s := &stream{}
	s.encode, s.decode = gob.NewEncoder(&s.out), gob.NewDecoder(&s.in)
	return wire{u, s}, nil
}

func (w wire) send(v any, files ...*os.File) error {
	w.out.Reset()
	if err := w.encode.Encode(v); err != nil {
		return err
	}
	body := w.out.Bytes()
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := w.WriteMsgUnix(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), oob, nil); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// receive reads a message and the files that came with it, which are the caller's to close.
func (w wire) receive(v any) ([]*os.File, error) {
	var head [4]byte
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := w.ReadMsgUnix(head[:], oob)
	if err != nil {
		return nil, err
	}
	files, err := received(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	if _, err := io.ReadFull(w, head[n:]); err != nil {
		return files, err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > maxMessage {
		return files, fmt.Errorf("a message of %d bytes", size)
	}
	w.in.Reset()
	if _, err := io.CopyN(&w.in, w, int64(size)); err != nil {
		return files, err
	}
	return files, w.decode.Decode(v)
}

func received(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "given"))
		}
	}
	return files, nil
}

// request is what dpb asks for: a program to run, or a signal for the one that runs.
type request struct {
	Program *Program
	Signal  *unix.Signal
}

// reply says that something was done, or why not.
type reply struct {
	Ready   bool
	Started bool
	Ended   *Exit
	Error   string
	Errno   int // of a program that could not be started
}
