"""Make keras*.onnx: TensorFlow 2.21, Keras 3.15 and tf2onnx 1.17, channels last."""

import numpy as np
import tensorflow as tf
import tf2onnx

tf.keras.utils.set_random_seed(0)
layers = tf.keras.layers


def save(name, model, opset):
    run = tf.function(lambda x: model(x, training=False))
    for kept in model.variables:  # as after some training
        if "moving" in kept.path or "gamma" in kept.path:
            kept.assign(np.random.uniform(0.5, 1.5, kept.shape))
        elif "bias" in kept.path or "beta" in kept.path:
            kept.assign(np.random.normal(0, 0.3, kept.shape))
    form = [tf.TensorSpec([None, 32, 32, 3], tf.float32, name="input")]
    tf2onnx.convert.from_function(run, form, opset=opset, output_path=f"{name}.onnx")
    x = np.random.normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.savez(f"{name}.npz", x=x, y=run(tf.constant(x)).numpy())


start = layers.Input((32, 32, 3))
h = layers.Conv2D(8, 3, 2, padding="same")(start)
h = layers.ReLU(6.0)(layers.BatchNormalization()(h))
h = layers.DepthwiseConv2D(3, padding="same")(h)
h = layers.BatchNormalization()(h)
h = layers.AveragePooling2D(3, 2, padding="same")(h)
h = layers.Conv2D(12, 3, strides=2, padding="same", activation="swish")(h)
h = layers.MaxPool2D(3, 2, padding="same")(h)
h = layers.Dense(20, activation="elu")(layers.Dropout(0.3)(layers.Flatten()(h)))
small = tf.keras.Model(start, layers.Dense(10, activation="softmax")(h))
save("keras", small, 15)
save("keras_opset9", small, 9)

h = layers.GroupNormalization(2)(layers.Conv2D(8, 3, strides=2, padding="same")(start))
h = layers.LeakyReLU(negative_slope=0.1)(h)
gate = layers.GlobalAveragePooling2D(keepdims=True)(h)
gate = layers.Conv2D(8, 1, activation="hard_sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
h = layers.GlobalAveragePooling2D()(layers.multiply([h, gate]))
save("keras_gated", tf.keras.Model(start, layers.Dense(4)(h)), 17)
