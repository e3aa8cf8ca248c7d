package api

import (
	"bytes"

	"google.golang.org/grpc"

	pb "github.com/p4evpn/p4evpn/api/p4evpnv1"
	"github.com/p4evpn/p4evpn/controller/intent"
)

// storeService is p4evpn.v1's StoreService.
type storeService struct {
	pb.UnimplementedStoreServiceServer
	store *intent.Store
}

// backupPart is how much of a backup one message holds.
const backupPart = 1 << 20

// Backup copies the store at once and sends the copy at the client's pace, so that
// a slow client keeps nothing of the file in use.
func (s *storeService) Backup(in *pb.BackupRequest, out grpc.ServerStreamingServer[pb.BackupResponse]) error {
	var b bytes.Buffer
	if err := s.store.Backup(&b, in.GetWithoutSecrets()); err != nil {
		return statusOf(naming{}, err)
	}
	for b.Len() > 0 {
		if err := out.Send(&pb.BackupResponse{Data: b.Next(backupPart)}); err != nil {
			return err
		}
	}
	return nil
}
