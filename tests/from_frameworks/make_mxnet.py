"""Make mxnet.onnx and gluon.onnx: MXNet 1.9.1 (Python 3.8, onnx 1.14), its own exporter."""

import mxnet as mx
import numpy as np
from mxnet.gluon.model_zoo import vision

mx.random.seed(0)
np.random.seed(0)
x = np.random.randn(2, 3, 32, 32).astype(np.float32)

# a symbol as the Module interface had it
d = mx.sym.var("data")
d = mx.sym.BatchNorm(d, fix_gamma=True, eps=2e-5, momentum=0.9, name="bn_data")
d = mx.sym.Convolution(d, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=8, name="conv0")
d = mx.sym.LRN(d, nsize=3, alpha=1e-3, beta=0.75, knorm=2, name="lrn0")
d = mx.sym.Pooling(d, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", name="pool0")
d = mx.sym.LeakyReLU(d, act_type="leaky", slope=0.1, name="leaky0")
e = mx.sym.Convolution(d, kernel=(3, 3), pad=(1, 1), num_filter=8, no_bias=True, name="conv1")
e = mx.sym.BatchNorm(e, fix_gamma=False, name="bn1")
d = mx.sym.Activation(mx.sym.elemwise_add(d, e, name="plus1"), act_type="relu", name="relu1")
d = mx.sym.Concat(d, mx.sym.LeakyReLU(e, act_type="elu", slope=0.5), dim=1, name="concat1")
d = mx.sym.Pooling(d, kernel=(2, 2), stride=(2, 2), pool_type="max", name="pool2")
d = mx.sym.Dropout(mx.sym.Flatten(d, name="flat"), p=0.3, name="drop")
d = mx.sym.FullyConnected(d, num_hidden=6, name="fc")
d = mx.sym.softmax(d, name="softmax")
module = mx.mod.Module(d, label_names=[])
module.bind([("data", x.shape)], for_training=False)
module.init_params(mx.init.Xavier())
args, aux = module.get_params()
aux = {k: mx.nd.array(np.random.uniform(0.5, 1.5, v.shape)) for k, v in aux.items()}
module.set_params(args, aux)
module.forward(mx.io.DataBatch([mx.nd.array(x)]), is_train=False)
y = module.get_outputs()[0].asnumpy()
mx.onnx.export_model(d, {**args, **aux}, [(1, 3, 32, 32)], np.float32, "mxnet.onnx")
np.savez("mxnet.npz", x=x, y=y)

# Gluon's own ResNet v2 blocks, narrow
net = vision.ResNetV2(vision.BasicBlockV2, [1, 1], [8, 8, 16], classes=7)
net.initialize(mx.init.Xavier())
net.hybridize()
y = net(mx.nd.array(x)).asnumpy()
net.export("gluon")
files = ("gluon-symbol.json", "gluon-0000.params")
mx.onnx.export_model(*files, [(1, 3, 32, 32)], np.float32, "gluon.onnx")
np.savez("gluon.npz", x=x, y=y)
