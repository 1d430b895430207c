"""The mathematics of distillation, on Gaussian data whose ODE is known in closed form.

Data N(mu, s^2) has x_t ~ N(sqrt(a)*mu, v_t) with v_t = a*s^2 + 1 - a, E[x | x_t] = mu + sqrt(a)*s^2
/ v_t * (x_t - sqrt(a)*mu), and the ODE keeps (x_t - sqrt(a_t)*mu) / sqrt(v_t). The estimate is
linear in mu, so guidance between two means is the Gaussian at u + g*(c - u).
"""

from __future__ import annotations

import pytest
import torch

from factory.diffusion.distillation import (
    CLEAN,
    Conditions,
    Denoiser,
    DistillationLoss,
    ddim_step,
    draw_stages,
    refuse_student,
    slope_2m,
    step_grid,
    x0_of_step,
)
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import sample, spaced_timesteps
from factory.errors import CheckpointError

SCHEDULE = NoiseSchedule(1000)
NOBODY, SPREAD, GUIDANCE = 0.3, 0.5, 1.5
"""Mean without an identity, standard deviation of the data, and g."""


def alpha_bar(t_B: torch.Tensor) -> torch.Tensor:
    a_B = SCHEDULE.alpha_bar_T[t_B.clamp(min=0)]
    return torch.where(t_B == CLEAN, 1.0, a_B).view(-1, 1, 1, 1)


def mean_of(identity_BD: torch.Tensor) -> torch.Tensor:
    """Mean of the data of an identity: that of nobody plus the identity's first value."""
    return (NOBODY + identity_BD[:, 0]).view(-1, 1, 1, 1)


def gaussian(x_t, t_B, identity_BD, similarity_B=None):
    """A network that predicts v exactly."""
    a, mean = alpha_bar(t_B), mean_of(identity_BD)
    x0 = mean + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x_t - a.sqrt() * mean)
    return (a.sqrt() * x_t - x0) / (1 - a).sqrt()


def by_ode(x_t, t_B, end_B, mean):
    """Where the exact ODE ends."""
    a, b = alpha_bar(t_B), alpha_bar(end_B)
    grown = ((b * SPREAD**2 + 1 - b) / (a * SPREAD**2 + 1 - a)).sqrt()
    return b.sqrt() * mean + grown * (x_t - a.sqrt() * mean)


TEACHER = Denoiser(gaussian, SCHEDULE, "v", GUIDANCE)


@pytest.fixture(scope="module")
def batch():
    """(noise, conditions, mean that guidance gives) of 8 samples in float64."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, 2, 2, 2, generator=generator, dtype=torch.float64)
    identity_BD = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    guided_mean = NOBODY + GUIDANCE * (mean_of(identity_BD) - NOBODY)
    return noise, Conditions(identity_BD), guided_mean


def loss_of(network, num_steps, substeps, **options):
    grid_NS = step_grid(SCHEDULE, num_steps, substeps)
    return DistillationLoss(network, TEACHER, grid_NS, **options), grid_NS


def test_steps_of_the_teacher_lie_between_those_of_the_student():
    grid = step_grid(SCHEDULE, 4, 2)
    assert grid.tolist() == [[999, 874, 749], [749, 624, 499], [499, 374, 249], [249, 124, CLEAN]]
    for num_steps, substeps in ((1, 16), (4, 1), (4, 5), (3, 7)):
        grid = step_grid(SCHEDULE, num_steps, substeps)
        assert grid[:, 0].tolist() == spaced_timesteps(SCHEDULE, num_steps, "trailing")
        assert grid[1:, 0].tolist() == grid[:-1, -1].tolist()


@pytest.mark.parametrize(("count", "num_steps"), [(16, 4), (7, 4), (1, 4), (3, 8)])
def test_every_step_is_learned_as_often(count, num_steps):
    generator = torch.Generator().manual_seed(1)
    draws = torch.stack([draw_stages(count, num_steps, generator) for _ in range(400)])
    assert (draws.diff(dim=1) >= 0).all()
    counts = torch.stack([(draws == stage).sum(1) for stage in range(num_steps)], 1)
    mean = count / num_steps
    assert counts.min() >= int(mean) - (mean % 1 > 0)
    assert counts.max() <= int(mean) + 1 + (mean % 1 > 0)
    assert counts.double().mean(0).tolist() == pytest.approx([mean] * num_steps, abs=0.12)


def test_the_guided_answer_is_the_gaussian_at_the_guided_mean(batch):
    noise, given, mean = batch
    t_B = torch.tensor([999, 900, 700, 500, 300, 100, 10, 0])
    x0 = TEACHER.x0(noise, t_B, given)
    a = alpha_bar(t_B)
    wanted = mean + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (noise - a.sqrt() * mean)
    torch.testing.assert_close(x0, wanted)


def test_guidance_leads_away_from_nobody_at_similarity_0():
    asked = []

    def network(x_t, t_B, identity_BD, similarity_B, hint_BSHW):
        asked.append((identity_BD, similarity_B, hint_BSHW))
        return x_t

    given = Conditions(torch.ones(2, 3), torch.full((2,), 0.7), torch.ones(2, 1, 4, 4))
    t_B = torch.tensor([5, 6])
    for guidance in (2.0, 1.0):
        denoiser = Denoiser(network, SCHEDULE, "v", guidance)
        denoiser.x0(torch.zeros(2, 1, 2, 2), t_B, given)
    (identity, similarity, hint), (alone, *_) = asked
    assert identity.tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2
    assert similarity.tolist() == pytest.approx([0.7, 0.7, 0, 0])
    assert hint.shape[0] == 4
    assert hint.all()  # the same image for both answers
    assert alone.tolist() == [[1.0] * 3] * 2  # with g = 1 nobody else is asked


def test_a_step_to_its_own_time_changes_nothing_and_one_to_the_end_gives_x0(batch):
    noise, *_ = batch
    x0, t_B = torch.flip(noise, [0]), torch.tensor([999, 749, 499, 249, 100, 50, 5, 1])
    torch.testing.assert_close(ddim_step(SCHEDULE, x0, noise, t_B, t_B), noise)
    clean_B = torch.full_like(t_B, CLEAN)
    assert torch.equal(ddim_step(SCHEDULE, x0, noise, t_B, clean_B), x0)
    assert torch.equal(x0_of_step(SCHEDULE, x0, noise, t_B, clean_B), x0)


def test_a_step_of_exact_noise_and_image_stays_on_their_line(batch):
    """DDIM with the true x0 and eps: x_s = sqrt(a_s)*x0 + sqrt(1-a_s)*eps."""
    noise, *_ = batch
    x0 = torch.flip(noise, [0])
    t_B, next_B = torch.tensor([999, 749, 499, 249] * 2), torch.tensor([800, 600, 499, CLEAN] * 2)
    a, b = alpha_bar(t_B), alpha_bar(next_B)
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
    reached = ddim_step(SCHEDULE, x0, x_t, t_B, next_B)
    torch.testing.assert_close(reached, b.sqrt() * x0 + (1 - b).sqrt() * noise)


def test_the_x0_of_a_step_is_that_which_makes_it(batch):
    noise, *_ = batch
    x0, t_B = torch.flip(noise, [0]), torch.tensor([999, 749, 499, 249] * 2)
    next_B = torch.tensor([749, 499, 249, CLEAN] * 2)
    reached = ddim_step(SCHEDULE, x0, noise, t_B, next_B)
    torch.testing.assert_close(x0_of_step(SCHEDULE, reached, noise, t_B, next_B), x0)


def test_two_steps_as_one_are_the_papers_formula(batch):
    """Salimans & Ho, algorithm 2, by hand: t = 499, t' = 374, t'' = 249."""
    noise, given, _ = batch
    model, grid_NS = loss_of(None, 4, 2)
    grid_BS = grid_NS[2].expand(len(noise), -1)
    got = model.target(noise, grid_BS, given)
    (a, b, c), z = (float(SCHEDULE.alpha_bar_T[t]) for t in (499, 374, 249)), noise
    x0 = TEACHER.x0(z, grid_BS[:, 0], given)
    middle = b**0.5 * x0 + ((1 - b) / (1 - a)) ** 0.5 * (z - a**0.5 * x0)
    x0 = TEACHER.x0(middle, grid_BS[:, 1], given)
    end = c**0.5 * x0 + ((1 - c) / (1 - b)) ** 0.5 * (middle - b**0.5 * x0)
    ratio = ((1 - c) / (1 - a)) ** 0.5
    torch.testing.assert_close(got, (end - ratio * z) / (c**0.5 - ratio * a**0.5))


def test_one_substep_is_guidance_alone(batch):
    noise, given, _ = batch
    for solver in ("ddim", "dpmpp_2m"):
        model, grid_NS = loss_of(None, 4, 1, solver=solver)
        for row_S in grid_NS:
            grid_BS = row_S.expand(len(noise), -1)
            wanted = TEACHER.x0(noise, grid_BS[:, 0], given)
            torch.testing.assert_close(model.target(noise, grid_BS, given), wanted)


@pytest.mark.parametrize(("solver", "num_steps"), [("ddim", 1), ("ddim", 4), ("dpmpp_2m", 1)])
def test_targets_in_turn_are_the_teachers_own_sampling(batch, solver, num_steps):
    """All of the student's steps, each by its target, end where the teacher's sampler does."""
    noise, given, _ = batch
    model, grid_NS = loss_of(None, num_steps, 20 // num_steps, solver=solver)
    x = noise
    for row_S in grid_NS:
        grid_BS = row_S.expand(len(x), -1)
        target = model.target(x, grid_BS, given)
        x = ddim_step(SCHEDULE, target, x, grid_BS[:, 0], grid_BS[:, -1])
    identity_BD = given.identity_BD
    guidance_B = torch.full((len(x),), GUIDANCE, dtype=torch.float64)
    conditioning = Conditioning(identity_BD, torch.zeros_like(identity_BD), guidance_B)
    denoise = guided(gaussian, SCHEDULE, "v", conditioning)
    torch.testing.assert_close(x, sample(solver, denoise, noise, SCHEDULE, 20))


def test_targets_approach_the_ode_at_the_order_of_their_solver(batch):
    """From t = 749 to 499: halving steps halves DDIM's error and quarters that of 2M."""
    noise, given, mean = batch
    t_B, end_B = torch.full((8,), 749), torch.full((8,), 499)
    exact = x0_of_step(SCHEDULE, by_ode(noise, t_B, end_B, mean), noise, t_B, end_B)

    def error(solver, substeps):
        model, grid_NS = loss_of(None, 4, substeps, solver=solver)
        grid_BS = grid_NS[1].expand(8, -1)
        return float((model.target(noise, grid_BS, given) - exact).norm() / exact.norm())

    assert error("ddim", 5) / error("ddim", 10) == pytest.approx(2, abs=0.15)
    assert error("dpmpp_2m", 5) / error("dpmpp_2m", 10) == pytest.approx(4, abs=0.8)
    assert error("dpmpp_2m", 10) < 0.2 * error("ddim", 10)


def test_the_second_order_estimate_is_half_a_step_ahead():
    """Of an x0^ that is linear in lambda = log(sqrt(a)/sqrt(1-a)), and itself at the end."""
    times_B3 = torch.tensor([[900, 700, 400], [900, 700, CLEAN]])
    a = SCHEDULE.alpha_bar_T[[900, 700, 400]]
    first, second, third = (0.5 * (a / (1 - a)).log()).tolist()
    x0, before = (torch.full((2, 1, 1, 1), value) for value in (second, first))
    ahead, itself = slope_2m(SCHEDULE, x0, before, times_B3).flatten().tolist()
    assert (ahead, itself) == (pytest.approx((second + third) / 2), pytest.approx(second))


class Linear(torch.nn.Module):
    """A student whose v is, at each of its timesteps, linear in x_t and the identity's mean."""

    def __init__(self, num_steps):
        super().__init__()
        self.times_N = torch.tensor(spaced_timesteps(SCHEDULE, num_steps, "trailing"))
        self.weights_N3 = torch.nn.Parameter(torch.zeros(num_steps, 3, dtype=torch.float64))

    def forward(self, x_t, t_B, identity_BD, similarity_B=None):
        stage_B = (t_B[:, None] == self.times_N).long().argmax(1)
        of_x, of_mean, shift = self.weights_N3[stage_B].T.reshape(3, -1, 1, 1, 1)
        return of_x * x_t + of_mean * mean_of(identity_BD) + shift


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_a_trained_student_draws_what_the_ode_does(num_steps, drawn):
    """In 1, 2 and 4 calls without guidance, from noise to where the teacher's guided ODE ends."""
    generator = torch.Generator().manual_seed(2)
    student = Linear(num_steps)
    model, _ = loss_of(student, num_steps, 24 // num_steps, solver="dpmpp_2m", drawn=drawn)
    noise = torch.randn(64, 1, 2, 2, generator=generator, dtype=torch.float64)
    identity_BD = torch.randn(64, 1, generator=generator, dtype=torch.float64)
    x = mean_of(identity_BD) + SPREAD * torch.flip(noise, [0])
    stage_B = draw_stages(64, num_steps, generator)
    optimizer = torch.optim.LBFGS(student.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = model(x, noise, stage_B, identity_BD)
        loss.backward()
        return loss

    for _ in range(num_steps if drawn else 1):  # what later steps begin from moves with the first
        optimizer.step(closure)
    assert float(closure().detach()) < 1e-5

    fresh = torch.randn(16, 1, 2, 2, generator=generator, dtype=torch.float64)
    asked_BD = torch.randn(16, 1, generator=generator, dtype=torch.float64)
    plain = Conditioning(asked_BD, torch.zeros_like(asked_BD), torch.ones(16, dtype=torch.float64))
    with torch.no_grad():
        denoise = guided(student, SCHEDULE, "v", plain)
        made = sample("distilled", denoise, fresh, SCHEDULE, num_steps)
    mean = NOBODY + GUIDANCE * (mean_of(asked_BD) - NOBODY)
    first_B, clean_B = torch.full((16,), 999), torch.full((16,), CLEAN)
    wanted = by_ode(fresh, first_B, clean_B, mean)
    assert float((made - wanted).norm() / wanted.norm()) < 0.03


def test_the_loss_is_the_error_of_x0_over_the_variance_of_the_noise(batch):
    """SNR + 1 = 1/(1-a): a student off by d in v is off by d*sqrt(1-a) in x0, at a loss of d^2."""
    noise, given, _ = batch
    stage_B = torch.arange(8) // 2

    def off(x_t, t_B, identity_BD, similarity_B):
        return gaussian(x_t, t_B, guided_identity(identity_BD)) + 0.1

    def guided_identity(identity_BD):  # the guided mean as an identity
        return GUIDANCE * identity_BD

    model, _ = loss_of(off, 4, 1)
    assert float(model(noise, noise, stage_B, given.identity_BD)) == pytest.approx(0.01)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_step_begins_from_noised_faces_or_from_what_was_drawn(batch, drawn):
    noise, given, _ = batch
    stage_B, seen = torch.arange(8) // 2, []

    def network(x_t, t_B, identity_BD, similarity_B):
        seen.append((x_t, t_B, identity_BD))
        return gaussian(x_t, t_B, identity_BD)

    x = torch.flip(noise, [0])
    model, grid_NS = loss_of(network, 4, 1, drawn=drawn)
    model(x, noise, stage_B, given.identity_BD)
    x_t, t_B, identity_BD = seen[-1]
    assert t_B.tolist() == [999, 999, 749, 749, 499, 499, 249, 249]
    assert torch.equal(identity_BD, given.identity_BD)
    if not drawn:
        a = alpha_bar(t_B)
        torch.testing.assert_close(x_t, a.sqrt() * x + (1 - a).sqrt() * noise)
        assert len(seen) == 1
        return
    assert [len(calls[0]) for calls in seen] == [6, 4, 2, 8]
    for row in range(8):  # each by itself, step after step
        one = Conditions(given.identity_BD[row : row + 1])
        alone = noise[row : row + 1]
        for stage in range(int(stage_B[row])):
            now_B, next_B = grid_NS[stage, :1], grid_NS[stage, -1:]
            x0 = Denoiser(gaussian, SCHEDULE, "v").x0(alone, now_B, one)
            alone = ddim_step(SCHEDULE, x0, alone, now_B, next_B)
        torch.testing.assert_close(x_t[row : row + 1], alone)


def test_no_gradient_reaches_the_teacher_or_what_was_drawn(batch):
    noise, given, _ = batch
    student = Linear(4)
    teacher = Linear(4)
    grid_NS = step_grid(SCHEDULE, 4, 1)
    guided = Denoiser(teacher, SCHEDULE, "v", 2.0)
    model = DistillationLoss(student, guided, grid_NS, drawn=True)
    model(noise, noise, torch.arange(8) // 2, given.identity_BD).backward()
    assert teacher.weights_N3.grad is None
    assert student.weights_N3.grad is not None
    assert [name for name, _ in model.named_parameters()] == ["network.weights_N3"]


def test_a_student_is_refused_where_its_teacher_is_wanted():
    refuse_student({"prediction": "v"}, "generator.init_from")
    with pytest.raises(CheckpointError, match=r"^generator\.init_from: is a distilled student; wa"):
        refuse_student({"distilled": {"num_steps": 4}}, "generator.init_from")
