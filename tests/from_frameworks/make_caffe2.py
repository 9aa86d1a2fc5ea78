"""Make caffe2.onnx: Caffe2 as torch 1.8.1 brought it (Python 3.8, onnx 1.11), its own exporter."""

import numpy as np
import onnx
from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, workspace
from caffe2.python.onnx.frontend import caffe2_net_to_onnx_model

np.random.seed(0)
core.GlobalInit(["caffe2", "--caffe2_log_level=2"])
net = model_helper.ModelHelper("small", arg_scope={"order": "NCHW"}, init_params=True)
brew.conv(net, "data", "conv1", 3, 8, kernel=3, stride=2, pad=1)
brew.relu(net, "conv1", "conv1")  # in place: one name, written twice
brew.lrn(net, "conv1", "norm1", size=5, alpha=1e-3, beta=0.75, bias=1.0)
brew.max_pool(net, "norm1", "pool1", kernel=3, stride=2)
brew.conv(net, "pool1", "conv2", 8, 8, kernel=3, pad=1, group=2)
brew.spatial_bn(net, "conv2", "bn2", 8, is_test=True, epsilon=1e-5, momentum=0.9)
brew.sum(net, ["bn2", "pool1"], "sum2")
brew.relu(net, "sum2", "sum2")
brew.concat(net, ["sum2", "pool1"], "joined")
brew.average_pool(net, "joined", "pool3", kernel=2, stride=2)
brew.fc(net, "pool3", "fc4", 16 * 3 * 3, 16)
brew.relu(net, "fc4", "fc4")
brew.dropout(net, "fc4", "drop4", ratio=0.4, is_test=True)
brew.fc(net, "drop4", "fc5", 16, 5)
brew.softmax(net, "fc5", "prob")

x = np.random.randn(2, 3, 28, 28).astype(np.float32)
workspace.FeedBlob("data", x)
workspace.RunNetOnce(net.param_init_net)
for name in ("bn2_rm", "bn2_riv", "bn2_s", "bn2_b"):  # as after some training
    workspace.FeedBlob(name, np.random.uniform(0.5, 1.5, 8).astype(np.float32))
workspace.RunNetOnce(net.net)
kept = caffe2_pb2.NetDef()
for name in {str(p) for p in net.params} | {"bn2_rm", "bn2_riv"}:
    value = workspace.FetchBlob(name)
    kept.op.extend(
        [
            core.CreateOperator(
                "GivenTensorFill", [], [name], shape=value.shape, values=value.ravel()
            )
        ]
    )
made = net.net.Proto()
made.external_output.extend(["prob"])
shapes = {"data": (onnx.TensorProto.FLOAT, (1, 3, 28, 28))}
onnx.save(caffe2_net_to_onnx_model(made, kept, shapes), "caffe2.onnx")
np.savez("caffe2.npz", x=x, y=workspace.FetchBlob("prob"))
